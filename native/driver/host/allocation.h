// One piece of device memory as this process holds it: a memfd and a token. It lives while any object,
// descriptor or mapping anywhere does.
#pragma once

#include <memory>
#include <mutex>

#include "driver/host/fd.h"
#include "driver/host/token.h"

namespace cuda_ipc::host {

struct Allocation {
  MemoryName name{};
  int device = 0;  // the ordinal in this process
  Fd memory;       // empty for memory opened through an IPC handle: its mapping is all it needs
  Fd token;
  uint64_t inode = 0;

  std::mutex mutex;
  bool loaded = false;    // the token carries the memory
  bool exported = false;  // an IPC handle was made
};

// New memory of `bytes`, a multiple of the page size, against the device's limit.
cu::CUresult allocate(int device, size_t bytes, std::shared_ptr<Allocation>& allocation);

// The descriptor that carries the allocation to other processes: a duplicate of its token, loaded.
cu::CUresult export_allocation(Allocation& allocation, Fd& descriptor);
cu::CUresult import_allocation(int descriptor, std::shared_ptr<Allocation>& allocation);

}  // namespace cuda_ipc::host
