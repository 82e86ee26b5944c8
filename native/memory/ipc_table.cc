#include "memory/ipc_table.h"

#include <cstring>

namespace cuda_ipc {

IpcTable::Reference open_ipc_memory(const cu::CUipcMemHandle& handle, int device) {
  // Never destroyed: references may be dropped while the process exits.
  static IpcTable* const table = new IpcTable;
  std::pair<std::array<char, 64>, int> key;
  std::memcpy(key.first.data(), handle.reserved, sizeof handle.reserved);
  key.second = device;
  return table->open(key, [&] { return std::make_unique<IpcMemory>(device, handle); });
}

RawIpcTable& RawIpcTable::process() {
  static RawIpcTable* const table = new RawIpcTable;
  return *table;
}

cu::CUdeviceptr RawIpcTable::open(const cu::CUipcMemHandle& handle, int device) {
  IpcTable::Reference reference = open_ipc_memory(handle, device);
  const cu::CUdeviceptr pointer = reference->pointer();
  std::lock_guard<std::mutex> lock(mutex_);
  opened_[pointer].push_back(std::move(reference));
  return pointer;
}

void RawIpcTable::close(cu::CUdeviceptr pointer) {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto found = opened_.find(pointer);
  if (found == opened_.end())
    throw Error(
        "ERR_CUDA_IPC_INVALID_POINTER",
        "cudaIpcCloseMemHandle takes a pointer that cudaIpcOpenMemHandle has returned, as many times as it "
        "has returned it; this one is not open.");
  const IpcTable::Reference reference = std::move(found->second.back());
  found->second.pop_back();
  if (found->second.empty()) opened_.erase(found);
  lock.unlock();  // the driver's close, if this was the last, comes without the lock
}

size_t RawIpcTable::references() const {
  std::lock_guard<std::mutex> lock(mutex_);
  size_t sum = 0;
  for (const auto& [pointer, references] : opened_) sum += references.size();
  return sum;
}

}  // namespace cuda_ipc
