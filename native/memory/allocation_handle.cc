#include "memory/allocation_handle.h"

namespace cuda_ipc {

cu::CUmemAllocationProp shareable_properties(int device) {
  cu::CUmemAllocationProp properties{};
  properties.type = cu::CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.requestedHandleTypes = cu::CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  properties.location.type = cu::CU_MEM_LOCATION_TYPE_DEVICE;
  properties.location.id = device;
  return properties;
}

AllocationHandle AllocationHandle::create(int device, size_t bytes) {
  ContextScope scope(device);
  const cu::CUmemAllocationProp properties = shareable_properties(device);
  cu::CUmemGenericAllocationHandle handle = 0;
  const cu::CUresult result = driver().cuMemCreate(&handle, bytes, &properties, 0);
  if (result == cu::CUDA_ERROR_OUT_OF_MEMORY) throw_out_of_memory("cuMemCreate", bytes);
  if (result != cu::CUDA_SUCCESS) throw_cuda_error(result, "cuMemCreate");
  return AllocationHandle(device, handle);
}

AllocationHandle AllocationHandle::import(int device, const Fd& fd) {
  ContextScope scope(device);
  cu::CUmemGenericAllocationHandle handle = 0;
  // The descriptor's number itself goes where the parameter's type says pointer.
  CUDA_IPC_CHECK(cuMemImportFromShareableHandle(&handle,
                                                reinterpret_cast<void*>(static_cast<intptr_t>(fd.get())),
                                                cu::CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
  return AllocationHandle(device, handle);
}

AllocationHandle::~AllocationHandle() {
  if (armed_) undo(device_, [this](const cu::Table& table) { table.cuMemRelease(handle_); });
}

Fd AllocationHandle::export_fd() const {
  ContextScope scope(device_);
  int fd = -1;
  CUDA_IPC_CHECK(cuMemExportToShareableHandle(&fd, handle_, cu::CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
  Fd owned(fd);
  const int flags = ::fcntl(fd, F_GETFD);
  if (flags < 0 || ((flags & FD_CLOEXEC) == 0 && ::fcntl(fd, F_SETFD, flags | FD_CLOEXEC) != 0))
    throw_system_error(errno, "making an exported descriptor close-on-exec");
  return owned;
}

}  // namespace cuda_ipc
