// The host implementations of the kernels, called as the host driver calls them.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "driver/host/kernel_registry.h"
#include "kernels/checksum.h"
#include "kernels/decode.h"

using namespace cuda_ipc;
using cu::CUdeviceptr;

namespace {

// Whether a kernel asked before it touched memory, and what it is told.
bool access_refused = false;

void* access(CUdeviceptr pointer, size_t, bool) {
  return access_refused ? nullptr : reinterpret_cast<void*>(pointer);
}

CUdeviceptr device(const void* pointer) {
  return reinterpret_cast<CUdeviceptr>(pointer);
}

template <class... Arguments>
cu::CUresult run(const char* name, Arguments... arguments) {
  const host::HostKernelEntry* entry = host::find_host_kernel(name);
  CHECK(entry != nullptr);
  const std::vector<size_t> sizes = {sizeof(Arguments)...};
  CHECK(entry->parameter_sizes == sizes);
  void* parameters[] = {&arguments...};
  return entry->run({{4, 1, 1}, {256, 1, 1}, parameters, access});
}

void checksum() {
  std::vector<unsigned char> data(4096 + 16);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<unsigned char>(i * 37 >> 3);
  for (size_t offset = 0; offset < 16; ++offset) {
    for (const Word bytes : {0, 1, 7, 8, 9, 63, 64, 1000, 4096}) {
      const unsigned char* begin = data.data() + offset;
      ChecksumSums expected{1000, 2000};  // added to, never cleared
      for (Word i = 0; i < bytes; i += 8)
        checksum_add(expected, checksum_bytes(begin + i, std::min<Word>(8, bytes - i)),
                     checksum_key(5 + i / 8));
      Word sums[2] = {1000, 2000};
      CHECK(run("cuda_ipc_checksum", device(begin), bytes, Word{5}, device(sums)) == cu::CUDA_SUCCESS);
      CHECK(sums[0] == expected.first && sums[1] == expected.second);
    }
  }
}

template <class T>
void fill(const char* name, T value) {
  std::vector<unsigned char> data(256);
  for (size_t offset = 0; offset < 9; ++offset) {
    for (const Word count : {0, 1, 3, 20}) {
      std::vector<unsigned char> expected(256, 0xee);
      for (Word i = 0; i < count; ++i) std::memcpy(&expected[offset + i * sizeof(T)], &value, sizeof(T));
      data.assign(256, 0xee);
      CHECK(run(name, device(data.data() + offset), count, value) == cu::CUDA_SUCCESS);
      CHECK(data == expected);
    }
  }
}

template <class T>
void atomic_add(const char* name) {
  constexpr int kThreads = 4;
  constexpr int kTimes = 2000;
  T target = 0;
  std::vector<std::atomic<int>> seen(kThreads * kTimes);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i)
    threads.emplace_back([&] {
      for (int k = 0; k < kTimes; ++k) {
        T previous = -1;
        CHECK(run(name, device(&target), T{1}, device(&previous)) == cu::CUDA_SUCCESS);
        ++seen[static_cast<size_t>(previous)];
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK(target == kThreads * kTimes);
  for (const auto& times : seen) CHECK(times == 1);
  CHECK(run(name, device(&target), T{1}, CUdeviceptr{0}) == cu::CUDA_SUCCESS);
  CHECK(target == kThreads * kTimes + 1);
}

// As the GPU's unit for atomics in global memory does it.
void atomic_floats() {
  const auto added = [](float target, float value) {
    CHECK(run("cuda_ipc_atomic_add_f32", device(&target), value, CUdeviceptr{0}) == cu::CUDA_SUCCESS);
    return target;
  };
  const float smallest = std::numeric_limits<float>::min();
  CHECK(added(smallest / 2, smallest / 2) == 0);
  CHECK(added(1.5f * smallest, -smallest) == 0);
  CHECK(std::signbit(added(-smallest / 2, -0.0f)));
  const float nan = added(std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity());
  uint32_t bits;
  std::memcpy(&bits, &nan, sizeof(bits));
  CHECK(bits == 0x7fffffff);
}

uint32_t bits_of_float(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

// All 65,536 halves against the definition of the format.
void halves() {
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const int exponent = bits >> 10 & 31;
    const int mantissa = bits & 1023;
    const float sign = bits & 0x8000 ? -1 : 1;
    const float value = decode(F16{static_cast<unsigned short>(bits)});
    if (exponent == 31 && mantissa != 0) {
      CHECK(std::isnan(value));
    } else {
      const float expected = exponent == 31  ? sign * std::numeric_limits<float>::infinity()
                             : exponent == 0 ? sign * std::ldexp(static_cast<float>(mantissa), -24)
                                             : sign * std::ldexp(1 + mantissa / 1024.0f, exponent - 15);
      CHECK(bits_of_float(value) == bits_of_float(expected));
    }
  }
}

unsigned short encode_f16(int small_integer) {
  if (small_integer == 0) return 0;
  int exponent;
  const float fraction = std::frexp(std::fabs(static_cast<float>(small_integer)), &exponent);
  const auto mantissa = static_cast<unsigned>((2 * fraction - 1) * 1024);
  return static_cast<unsigned short>((small_integer < 0 ? 0x8000 : 0) | (exponent + 14) << 10 | mantissa);
}

template <class Weight>
void linear(const char* name, Weight (*encode)(int)) {
  for (const Word in : {0, 1, 15, 16, 100, 1027}) {
    const Word out = 7;
    std::vector<Weight> weights(in * out + 1);
    std::vector<float> x(in + 1);
    std::vector<float> y(out);
    std::vector<float> expected(out);
    for (Word i = 0; i < in; ++i) x[i] = static_cast<float>(static_cast<int>(i % 5) - 2);
    for (Word row = 0; row < out; ++row)
      for (Word i = 0; i < in; ++i) {
        const int weight = static_cast<int>((row * 31 + i * 7) % 33) - 16;
        weights[row * in + i] = encode(weight);
        expected[row] += static_cast<float>(weight) * x[i];
      }
    CHECK(run(name, device(weights.data()), device(x.data()), device(y.data()), in, out) == cu::CUDA_SUCCESS);
    CHECK(y == expected);
  }
}

void refusals() {
  Word sums[2] = {};
  Word value = 7;
  access_refused = true;
  CHECK(run("cuda_ipc_checksum", device(sums), Word{8}, Word{0}, device(sums)) ==
        cu::CUDA_ERROR_ILLEGAL_ADDRESS);
  CHECK(run("cuda_ipc_fill_u64", device(&value), Word{1}, Word{1}) == cu::CUDA_ERROR_ILLEGAL_ADDRESS);
  CHECK(run("cuda_ipc_atomic_add_u64", device(&value), Word{1}, CUdeviceptr{0}) ==
        cu::CUDA_ERROR_ILLEGAL_ADDRESS);
  access_refused = false;
  CHECK(run("cuda_ipc_fill_u64", device(&value), ~Word{0} / 4, Word{1}) == cu::CUDA_ERROR_ILLEGAL_ADDRESS);
  CHECK(run("cuda_ipc_atomic_add_u64", device(&value) + 4, Word{1}, CUdeviceptr{0}) ==
        cu::CUDA_ERROR_MISALIGNED_ADDRESS);
  CHECK(value == 7);
  CHECK(host::find_host_kernel("cuda_ipc_nothing") == nullptr);
}

}  // namespace

int main() {
  checksum();
  fill<uint8_t>("cuda_ipc_fill_u8", 0xa5);
  fill<uint16_t>("cuda_ipc_fill_u16", 0xa5b6);
  fill<uint32_t>("cuda_ipc_fill_u32", 0xa5b6c7d8);
  fill<uint64_t>("cuda_ipc_fill_u64", 0xa5b6c7d8e9fa0b1c);
  atomic_add<uint32_t>("cuda_ipc_atomic_add_u32");
  atomic_add<uint64_t>("cuda_ipc_atomic_add_u64");
  atomic_add<float>("cuda_ipc_atomic_add_f32");
  atomic_floats();
  halves();
  linear<float>("cuda_ipc_linear_f32", [](int value) { return static_cast<float>(value); });
  linear<F16>("cuda_ipc_linear_f16", [](int value) { return F16{encode_f16(value)}; });
  linear<Bf16>("cuda_ipc_linear_bf16", [](int value) {
    return Bf16{static_cast<unsigned short>(bits_of_float(static_cast<float>(value)) >> 16)};
  });
  refusals();
}
