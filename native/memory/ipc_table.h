// CUDA IPC memory handles opened by this process: one driver open per handle and device, counted.
#pragma once

#include <array>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "memory/counted_table.h"
#include "memory/ipc_memory.h"

namespace cuda_ipc {

// Everything in the process that opens a handle goes through here, slabs and the raw layer alike.
using IpcTable = CountedTable<std::pair<std::array<char, 64>, int>, IpcMemory>;
IpcTable::Reference open_ipc_memory(const cu::CUipcMemHandle& handle, int device);

// The raw layer's view, with CUDA's own shape: a pointer out, and the same pointer back in. It can close only
// what it has opened, however often somebody else uses the same handle.
class RawIpcTable {
 public:
  static RawIpcTable& process();

  // The base of the allocation. Throws Error: ERR_CUDA_IPC_STALE_HANDLE, ERR_CUDA_IPC_SAME_PROCESS, ...
  cu::CUdeviceptr open(const cu::CUipcMemHandle& handle, int device);
  // Throws Error (ERR_CUDA_IPC_INVALID_POINTER) for a pointer that open() has not given, or not as often.
  void close(cu::CUdeviceptr pointer);
  // How many opens are not closed yet.
  size_t references() const;

 private:
  mutable std::mutex mutex_;
  std::map<cu::CUdeviceptr, std::vector<IpcTable::Reference>> opened_;
};

}  // namespace cuda_ipc
