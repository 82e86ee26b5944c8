// cuda_ipc_fill_u8, _u16, _u32, _u64: `count` times `value` at `data`, at any alignment, from any grid of one
// dimension.
#include "kernels/launch.h"

namespace cuda_ipc {

// Every width is a repeated pattern of 8 bytes.
__device__ unsigned long long repeated(unsigned long long value, unsigned width) {
  for (; width < 8; width *= 2) value |= value << (8 * width);
  return value;
}

__device__ void fill(void* data, unsigned long long bytes, unsigned long long pattern) {
  auto* begin = static_cast<unsigned char*>(data);
  unsigned long long before = (16 - reinterpret_cast<unsigned long long>(begin) % 16) % 16;
  if (before > bytes) before = bytes;
  const unsigned long long vectors = (bytes - before) / 16;
  const unsigned long long after = before + 16 * vectors;
  const unsigned long long thread = thread_number();
  // The 16-byte stores begin inside the pattern.
  const unsigned shift = 8 * (before % 8);
  const unsigned long long turned = shift == 0 ? pattern : (pattern >> shift) | (pattern << (64 - shift));
  auto* body = reinterpret_cast<ulonglong2*>(begin + before);
  for (unsigned long long i = thread; i < vectors; i += thread_count())
    body[i] = make_ulonglong2(turned, turned);
  if (thread != 0) return;
  for (unsigned long long i = 0; i < before; ++i) begin[i] = pattern >> (8 * (i % 8));
  for (unsigned long long i = after; i < bytes; ++i) begin[i] = pattern >> (8 * (i % 8));
}

}  // namespace cuda_ipc

extern "C" __global__ void cuda_ipc_fill_u8(void* data, unsigned long long count, unsigned char value) {
  cuda_ipc::fill(data, count, cuda_ipc::repeated(value, 1));
}

extern "C" __global__ void cuda_ipc_fill_u16(void* data, unsigned long long count, unsigned short value) {
  cuda_ipc::fill(data, 2 * count, cuda_ipc::repeated(value, 2));
}

extern "C" __global__ void cuda_ipc_fill_u32(void* data, unsigned long long count, unsigned value) {
  cuda_ipc::fill(data, 4 * count, cuda_ipc::repeated(value, 4));
}

extern "C" __global__ void cuda_ipc_fill_u64(void* data, unsigned long long count, unsigned long long value) {
  cuda_ipc::fill(data, 8 * count, value);
}
