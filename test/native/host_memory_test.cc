// Memory of the host driver within one process: what works, and the error codes for what does not, as an H100
// gives them.
#include "host_test.h"

namespace {

const size_t kPage = static_cast<size_t>(getpagesize());

void refuses_before_init_and_without_context() {
  CUdeviceptr pointer = 0;
  int count = 0;
  EXPECT(CUDA_ERROR_NOT_INITIALIZED, cuMemAlloc(&pointer, 4096));
  EXPECT(CUDA_ERROR_NOT_INITIALIZED, cuDeviceGetCount(&count));
  OK(cuInit(0));
  CUdevice device = 0;
  size_t bytes = 0;
  CUstream stream = nullptr;
  EXPECT(CUDA_ERROR_INVALID_CONTEXT, cuMemAlloc(&pointer, 4096));
  EXPECT(CUDA_ERROR_INVALID_CONTEXT, cuMemGetInfo(&bytes, &bytes));
  EXPECT(CUDA_ERROR_INVALID_CONTEXT, cuStreamCreate(&stream, 0));
  EXPECT(CUDA_ERROR_INVALID_DEVICE, cuDeviceGet(&device, 99));
  EXPECT(CUDA_ERROR_INVALID_DEVICE, cuDeviceGet(&device, -1));

  const CUmemAllocationProp wanted = properties();
  CUmemGenericAllocationHandle handle = 0;
  OK(cuMemGetAllocationGranularity(&bytes, &wanted, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
  CHECK(bytes == 2 * kMiB);
  OK(cuMemCreate(&handle, bytes, &wanted, 0));
  OK(cuMemRelease(handle));
}

void allocates_and_frees() {
  CUdeviceptr pointer = 0;
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemAlloc(&pointer, 0));
  EXPECT(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc(&pointer, size_t{1} << 40));
  EXPECT(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc(&pointer, ~size_t{0}));
  OK(cuMemAlloc(&pointer, 1000));
  CHECK(used_bytes() == kPage);
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemFree(pointer + 1));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemFree(0x1000));
  OK(cuMemFree(pointer));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemFree(pointer));
  OK(cuMemFree(0));
  CHECK(used_bytes() == 0);

  size_t total = 0;
  OK(cuDeviceTotalMem(&total, 0));
  CUdeviceptr most = 0;
  OK(cuMemAlloc(&most, total - kPage));
  OK(cuMemAlloc(&pointer, kPage));
  CUdeviceptr more = 0;
  EXPECT(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc(&more, 1));
  OK(cuMemFree(most));
  OK(cuMemFree(pointer));
}

void describes_pointers() {
  CUdeviceptr pointer = 0, base = 0;
  size_t bytes = 0;
  OK(cuMemAlloc(&pointer, 5000));
  OK(cuMemGetAddressRange(&base, &bytes, pointer + 4999));
  CHECK(base == pointer && bytes == 5000);
  EXPECT(CUDA_ERROR_NOT_FOUND, cuMemGetAddressRange(&base, &bytes, pointer + 5000));
  unsigned value = 0;
  OK(cuPointerGetAttribute(&value, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, pointer));
  CHECK(value == 2);
  OK(cuPointerGetAttribute(&value, CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE, pointer));
  CHECK(value == 1);
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuPointerGetAttribute(&value, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, 0x1000));
  OK(cuMemFree(pointer));
}

void copies_and_sets() {
  CUdeviceptr pointer = 0, other = 0;
  OK(cuMemAlloc(&pointer, 100));
  OK(cuMemAlloc(&other, 100));
  unsigned char data[200] = {};
  OK(cuMemsetD8(pointer, 7, 100));
  OK(cuMemcpyDtoD(other, pointer, 100));
  CHECK(all_are(read_back(other, 100), 7));
  OK(cuMemsetD32(other + 4, 0x01020304, 2));
  CHECK(read_back(other, 12)[7] == 1 && read_back(other, 12)[8] == 4);
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemsetD32(other + 2, 0, 1));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemsetD8(0x1000, 0, 1));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(pointer, data, 101));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(pointer + 1, data, 100));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(0x1000, data, 1));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoDAsync(0x1000, data, 1, nullptr));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH(data, 0, 1));
  OK(cuMemcpyHtoD(0x1000, data, 0));
  // Unified addressing, and an address that is nowhere.
  OK(cuMemcpy(reinterpret_cast<uintptr_t>(data), pointer, 100));
  CHECK(data[99] == 7);
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemcpy(pointer, 0x1000, 100));
  OK(cuCtxSynchronize());
  OK(cuMemFree(pointer));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH(data, pointer, 1));
  OK(cuMemFree(other));
}

void pins_host_memory() {
  void* pinned = nullptr;
  CUdeviceptr pointer = 0;
  CUstream stream = nullptr;
  OK(cuMemHostAlloc(&pinned, 1000, CU_MEMHOSTALLOC_PORTABLE));
  OK(cuMemAlloc(&pointer, 1000));
  OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  std::memset(pinned, 9, 1000);
  OK(cuMemcpyHtoDAsync(pointer, pinned, 1000, stream));
  OK(cuMemsetD8Async(pointer, 8, 500, stream));
  OK(cuMemcpyDtoHAsync(pinned, pointer, 1000, stream));
  OK(cuStreamSynchronize(stream));
  CHECK(static_cast<char*>(pinned)[499] == 8 && static_cast<char*>(pinned)[500] == 9);
  CUipcMemHandle handle;
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuIpcGetMemHandle(&handle, reinterpret_cast<uintptr_t>(pinned)));
  CHECK(used_bytes() == kPage);
  OK(cuStreamDestroy(stream));
  OK(cuMemFreeHost(pinned));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemFreeHost(pinned));
  OK(cuMemFree(pointer));
}

void registers_host_memory() {
  static char memory[8192];
  OK(cuMemHostRegister(memory, 4096, CU_MEMHOSTREGISTER_PORTABLE));
  EXPECT(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, cuMemHostRegister(memory + 4095, 10, 0));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemHostRegister(memory + 4096, 0, 0));
  OK(cuMemHostRegister(memory + 4096, 4096, 0));
  EXPECT(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, cuMemHostUnregister(memory + 1));
  OK(cuMemHostUnregister(memory));
  EXPECT(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, cuMemHostUnregister(memory));
  OK(cuMemHostUnregister(memory + 4096));
}

void makes_handles() {
  CUdeviceptr pointer = 0;
  CUipcMemHandle handle, again;
  OK(cuMemAlloc(&pointer, 8 * kMiB));
  OK(cuIpcGetMemHandle(&handle, pointer));
  OK(cuIpcGetMemHandle(&again, pointer + 4 * kMiB));
  CHECK(std::memcmp(&handle, &again, sizeof(handle)) == 0);
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuIpcGetMemHandle(&handle, 0x1000));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuIpcGetMemHandle(&handle, 0));
  CUdeviceptr opened = 0;
  EXPECT(CUDA_ERROR_INVALID_CONTEXT, cuIpcOpenMemHandle(&opened, handle, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuIpcCloseMemHandle(pointer));
  OK(cuMemFree(pointer));
}

void maps_virtual_memory() {
  const CUmemAllocationProp wanted = properties();
  CUmemGenericAllocationHandle handle = 0, imported = 0;
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemCreate(&handle, 1 * kMiB, &wanted, 0));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemCreate(&handle, 3 * kMiB, &wanted, 0));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemCreate(&handle, 0, &wanted, 0));
  EXPECT(CUDA_ERROR_OUT_OF_MEMORY, cuMemCreate(&handle, size_t{1} << 40, &wanted, 0));
  OK(cuMemCreate(&handle, 4 * kMiB, &wanted, 0));
  int fd = -1;
  OK(cuMemExportToShareableHandle(&fd, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
  CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  OK(cuMemImportFromShareableHandle(&imported, as_os_handle(fd), CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
  CHECK(imported != handle);
  int unwanted = -1;
  EXPECT(CUDA_ERROR_INVALID_VALUE,
         cuMemExportToShareableHandle(&unwanted, imported, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
  const CUdeviceptr writable = map(handle, 4 * kMiB, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
  const CUdeviceptr readable = map(imported, 4 * kMiB, CU_MEM_ACCESS_FLAGS_PROT_READ);
  OK(cuMemsetD8(writable, 42, 4 * kMiB));
  CHECK(all_are(read_back(readable, 4 * kMiB), 42));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemsetD8(readable, 1, 1));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoD(readable, writable, 1));
  CHECK(used_bytes() == 4 * kMiB);

  CUdeviceptr base = 0;
  size_t bytes = 0;
  CUipcMemHandle ipc;
  OK(cuMemGetAddressRange(&base, &bytes, readable + 100));
  CHECK(base == readable && bytes == 4 * kMiB);
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuIpcGetMemHandle(&ipc, readable));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemFree(readable));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemMap(readable, 4 * kMiB, 0, handle, 0));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemUnmap(readable, 2 * kMiB));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemAddressFree(readable, 4 * kMiB));

  OK(cuMemRelease(handle));
  OK(cuMemRelease(imported));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemRelease(imported));
  OK(cuMemUnmap(readable, 4 * kMiB));
  OK(cuMemUnmap(readable, 4 * kMiB));
  const CUmemAccessDesc access{{CU_MEM_LOCATION_TYPE_DEVICE, 0}, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemSetAccess(readable, 4 * kMiB, &access, 1));
  OK(cuMemAddressFree(readable, 4 * kMiB));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemAddressFree(readable, 4 * kMiB));
  CHECK(all_are(read_back(writable, 4 * kMiB), 42));
  unmap(writable, 4 * kMiB);
  CHECK(used_bytes() == 4 * kMiB);  // the descriptor
  close(fd);
  CHECK(used_bytes() == 0);
}

void refuses_what_cannot_be_shared() {
  const CUmemAllocationProp kept = properties(0, CU_MEM_HANDLE_TYPE_NONE);
  CUmemGenericAllocationHandle handle = 0;
  int fd = -1, pipes[2];
  OK(cuMemCreate(&handle, 2 * kMiB, &kept, 0));
  EXPECT(CUDA_ERROR_INVALID_VALUE,
         cuMemExportToShareableHandle(&fd, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
  OK(cuMemRelease(handle));
  CHECK(pipe(pipes) == 0);
  const auto type = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  EXPECT(CUDA_ERROR_UNKNOWN, cuMemImportFromShareableHandle(&handle, as_os_handle(pipes[0]), type));
  EXPECT(CUDA_ERROR_UNKNOWN, cuMemImportFromShareableHandle(&handle, as_os_handle(-1), type));
  EXPECT(CUDA_ERROR_UNKNOWN, cuMemImportFromShareableHandle(&handle, as_os_handle(900), type));
  const int foreign = socket(AF_UNIX, SOCK_DGRAM, 0);
  EXPECT(CUDA_ERROR_UNKNOWN, cuMemImportFromShareableHandle(&handle, as_os_handle(foreign), type));
  for (const int one : {pipes[0], pipes[1], foreign}) close(one);
}

void reserves_addresses() {
  CUdeviceptr pointer = 0;
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemAddressReserve(&pointer, 3 * kMiB, 0, 0, 0));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemAddressReserve(&pointer, 1 * kMiB, 0, 0, 0));
  OK(cuMemAddressReserve(&pointer, 8 * kMiB, 64 * kMiB, 0, 0));
  CHECK(pointer % (64 * kMiB) == 0);
  char byte = 0;
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH(&byte, pointer, 1));
  // Two allocations side by side are one range, until one of them is gone.
  const CUmemAllocationProp wanted = properties();
  const CUmemAccessDesc access{{CU_MEM_LOCATION_TYPE_DEVICE, 0}, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
  for (const size_t offset : {size_t{0}, 4 * kMiB}) {
    CUmemGenericAllocationHandle handle = 0;
    OK(cuMemCreate(&handle, 4 * kMiB, &wanted, 0));
    OK(cuMemMap(pointer + offset, 4 * kMiB, 0, handle, 0));
    OK(cuMemRelease(handle));
  }
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH(&byte, pointer, 1));
  OK(cuMemSetAccess(pointer, 8 * kMiB, &access, 1));
  OK(cuMemsetD8(pointer, 3, 8 * kMiB));
  OK(cuMemUnmap(pointer + 4 * kMiB, 4 * kMiB));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemsetD8(pointer, 3, 8 * kMiB));
  OK(cuMemsetD8(pointer, 3, 4 * kMiB));
  OK(cuMemUnmap(pointer, 4 * kMiB));
  OK(cuMemAddressFree(pointer, 8 * kMiB));
  CHECK(used_bytes() == 0);
}

}  // namespace

int main() {
  use_fresh_scope();
  refuses_before_init_and_without_context();
  bring_up();
  allocates_and_frees();
  describes_pointers();
  copies_and_sets();
  pins_host_memory();
  registers_host_memory();
  makes_handles();
  maps_virtual_memory();
  refuses_what_cannot_be_shared();
  reserves_addresses();
}
