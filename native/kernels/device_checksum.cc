#include "kernels/device_checksum.h"

#include <algorithm>

#include "driver/driver.h"
#include "kernels/builtin.h"
#include "kernels/checksum.h"
#include "kernels/sums_memory.h"
#include "transfer/stream.h"

namespace cuda_ipc {

namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kBytesPerThread = 64;  // one round of loads
constexpr unsigned kBlocksPerMultiprocessor = 8;

unsigned blocks_for(int device, size_t bytes) {
  cu::CUdevice handle;
  int multiprocessors = 1;
  CUDA_IPC_CHECK(cuDeviceGet(&handle, device));
  CUDA_IPC_CHECK(
      cuDeviceGetAttribute(&multiprocessors, cu::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, handle));
  const size_t useful = bytes / (kThreads * kBytesPerThread) + 1;
  return static_cast<unsigned>(
      std::min<size_t>(useful, kBlocksPerMultiprocessor * static_cast<size_t>(multiprocessors)));
}

}  // namespace

// A range may lie across several mappings side by side.
void require_device_memory(cu::CUdeviceptr pointer, size_t bytes) {
  for (size_t known = 0; known < bytes;) {
    cu::CUdeviceptr base = 0;
    size_t size = 0;
    const cu::CUresult result = driver().cuMemGetAddressRange(&base, &size, pointer + known);
    const bool missing = result == cu::CUDA_ERROR_NOT_FOUND || result == cu::CUDA_ERROR_INVALID_VALUE;
    if (missing)
      throw Error("ERR_CUDA_IPC_INVALID_ARGUMENT", "Expected " + std::to_string(bytes) +
                                                       " bytes of device memory of this process, but after " +
                                                       std::to_string(known) +
                                                       " bytes there is none. Is the pointer still open?");
    if (result != cu::CUDA_SUCCESS) throw_cuda_error(result, "cuMemGetAddressRange");
    known = base + size - pointer;
  }
}

void launch_checksum(cu::CUfunction kernel, int device, cu::CUstream stream, cu::CUdeviceptr pointer,
                     size_t bytes, size_t first_word, cu::CUdeviceptr sums) {
  launch(kernel, blocks_for(device, bytes), kThreads, stream, pointer, Word{bytes}, Word{first_word}, sums);
}

Checksum finished(const ChecksumSums& sums, size_t bytes) {
  unsigned char result[16];
  checksum_finish(sums, bytes, result);
  Checksum checksum;
  std::copy(std::begin(result), std::end(result), checksum.begin());
  return checksum;
}

Checksum device_checksum(int device, cu::CUdeviceptr pointer, size_t bytes) {
  ChecksumSums sums;
  if (bytes != 0) {
    const ContextScope scope(device);
    require_device_memory(pointer, bytes);
    const cu::CUfunction kernel = builtin_kernels(device).function("cuda_ipc_checksum");
    const Stream stream(device, cu::CU_STREAM_DEFAULT);
    const SumsMemory memory(device, stream.get());
    launch_checksum(kernel, device, stream.get(), pointer, bytes, 0, memory.pointer());
    sums = memory.read(stream.get());
  }
  return finished(sums, bytes);
}

}  // namespace cuda_ipc
