// Run by hand on a GPU: every kernel against its host implementation, bit for bit, and how fast it is.
//   node scripts/embed-kernels.js OUT/kernels_ptx.inc
//   g++ -std=c++17 -O2 -Inative -Itest/native -IOUT -o OUT/kernels_gpu test/native/kernels_gpu.cc
//     $(find native -name '*.cc' -not -path '*/addon/*') -ldl -lpthread
//   OUT/kernels_gpu [FILE]
// With FILE, loads it to the device too and compares checksums.
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "driver/driver.h"
#include "driver/host/kernel_registry.h"
#include "kernels/builtin.h"
#include "kernels/checksum.h"
#include "kernels/decode.h"
#include "kernels/device_checksum.h"
#include "memory/device_memory.h"
#include "transfer/load.h"

using namespace cuda_ipc;
using cu::CUdeviceptr;

namespace {

using Bytes = std::vector<unsigned char>;

void* host_access(CUdeviceptr pointer, size_t, bool) {
  return reinterpret_cast<void*>(pointer);
}

template <class... Arguments>
void run_on_host(const char* name, Arguments... arguments) {
  void* parameters[] = {&arguments...};
  CHECK(host::find_host_kernel(name)->run({{1, 1, 1}, {256, 1, 1}, parameters, host_access}) ==
        cu::CUDA_SUCCESS);
}

template <class... Arguments>
void run_on_device(unsigned blocks, unsigned threads, const char* name, Arguments... arguments) {
  launch(builtin_kernels(0).function(name), blocks, threads, nullptr, arguments...);
  CUDA_IPC_CHECK(cuCtxSynchronize());
}

CUdeviceptr address(const void* pointer) {
  return reinterpret_cast<CUdeviceptr>(pointer);
}

void upload(const DeviceMemory& memory, const void* data, size_t bytes, size_t offset = 0) {
  CUDA_IPC_CHECK(cuMemcpyHtoD(memory.pointer() + offset, data, bytes));
}

template <class T>
std::vector<T> download(const DeviceMemory& memory, size_t count) {
  std::vector<T> result(count);
  CUDA_IPC_CHECK(cuMemcpyDtoH(result.data(), memory.pointer(), count * sizeof(T)));
  return result;
}

Bytes random_bytes(size_t count) {
  std::mt19937_64 random(count);
  Bytes bytes(count);
  for (auto& byte : bytes) byte = static_cast<unsigned char>(random());
  return bytes;
}

// The time of `work` in seconds: the best of a few, after a first that does not count.
template <class Work>
double seconds_of(Work work) {
  double best = 1e9;
  for (int i = 0; i < 6; ++i) {
    const auto start = std::chrono::steady_clock::now();
    work();
    CUDA_IPC_CHECK(cuCtxSynchronize());
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    if (i > 0) best = std::min(best, seconds.count());
  }
  return best;
}

void checksums() {
  constexpr Word kMost = 1 << 20;
  const Bytes data = random_bytes(kMost + 32);
  const DeviceMemory memory(0, data.size());
  const DeviceMemory device_sums(0, 16);
  upload(memory, data.data(), data.size());
  std::vector<Word> sizes = {1000, 4095, 4096, 4097, 65536, 99999, kMost - 1, kMost};
  for (Word size = 0; size < 70; ++size) sizes.push_back(size);
  for (Word offset = 0; offset < 17; ++offset)
    for (const Word bytes : sizes)
      for (const unsigned blocks : {1u, 7u, 300u})
        for (const unsigned threads : {32u, 256u, 1024u}) {
          Word expected[2] = {3, 4};
          const Word first_word = 1ull << 33 | offset;
          upload(device_sums, expected, sizeof(expected));
          run_on_host("cuda_ipc_checksum", address(data.data() + offset), bytes, first_word,
                      address(expected));
          run_on_device(blocks, threads, "cuda_ipc_checksum", memory.pointer() + offset, bytes, first_word,
                        device_sums.pointer());
          const auto sums = download<Word>(device_sums, 2);
          CHECK(sums[0] == expected[0] && sums[1] == expected[1]);
        }
  ChecksumSums sums;
  run_on_host("cuda_ipc_checksum", address(data.data()), Word{data.size()}, Word{0}, address(&sums));
  unsigned char expected[16];
  checksum_finish(sums, data.size(), expected);
  const Checksum checksum = device_checksum(0, memory.pointer(), data.size());
  CHECK(std::equal(checksum.begin(), checksum.end(), expected));
}

template <class T>
void fills(const char* name, T value) {
  const DeviceMemory memory(0, 70000);
  for (size_t offset = 0; offset < 33; ++offset)
    for (const Word count : {0, 1, 5, 100, 8000}) {
      Bytes expected(70000, 0xee);
      upload(memory, expected.data(), expected.size());
      run_on_host(name, address(expected.data() + offset), count, value);
      run_on_device(3, 128, name, memory.pointer() + offset, count, value);
      CHECK(download<unsigned char>(memory, expected.size()) == expected);
    }
}

template <class T>
void atomic(const char* name, std::vector<T> values) {
  const DeviceMemory memory(0, 16);
  for (const T& target : values)
    for (const T& value : values) {
      alignas(8) unsigned char expected[16] = {};
      std::memcpy(expected, &target, sizeof(T));
      upload(memory, expected, sizeof(expected));
      run_on_host(name, address(expected), value, address(expected + 8));
      run_on_device(2, 64, name, memory.pointer(), value, memory.pointer() + 8);
      const auto result = download<unsigned char>(memory, 16);
      if (!std::equal(result.begin(), result.end(), expected)) {
        std::printf("%s:", name);
        for (const auto& bytes : {Bytes(result), Bytes(std::begin(expected), std::end(expected))}) {
          for (const unsigned char byte : bytes) std::printf(" %02x", byte);
          std::printf("%s", " |");
        }
        std::printf(" target %g value %g\n", static_cast<double>(target), static_cast<double>(value));
      }
      CHECK(std::equal(result.begin(), result.end(), expected));
    }
}

template <class Weight>
void linear(const char* name, unsigned (*encode)(int)) {
  for (const Word in : {1, 8, 31, 32, 1000, 1001, 4096})
    for (const size_t shift : {0, 1}) {
      const Word out = 77;
      std::vector<Weight> weights(in * out + shift);
      std::vector<float> x(in + shift);
      for (size_t i = 0; i < weights.size(); ++i) {
        const unsigned bits = encode(static_cast<int>(i * 7 % 33) - 16);
        std::memcpy(&weights[i], &bits, sizeof(Weight));
      }
      for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(static_cast<int>(i % 5) - 2);
      const DeviceMemory device_weights(0, weights.size() * sizeof(Weight));
      const DeviceMemory device_x(0, x.size() * sizeof(float));
      const DeviceMemory device_y(0, out * sizeof(float));
      upload(device_weights, weights.data(), weights.size() * sizeof(Weight));
      upload(device_x, x.data(), x.size() * sizeof(float));
      std::vector<float> expected(out);
      run_on_host(name, address(weights.data() + shift), address(x.data() + shift), address(expected.data()),
                  in, out);
      run_on_device(5, 256, name, device_weights.pointer() + shift * sizeof(Weight),
                    device_x.pointer() + shift * sizeof(float), device_y.pointer(), in, out);
      CHECK(download<float>(device_y, out) == expected);
    }
}

// Every half, through a column of ones.
void halves() {
  std::vector<unsigned short> weights(0x10000);
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<unsigned short>(i);
  const float one = 1;
  const DeviceMemory device_weights(0, weights.size() * 2);
  const DeviceMemory device_x(0, 4);
  const DeviceMemory device_y(0, weights.size() * 4);
  upload(device_weights, weights.data(), weights.size() * 2);
  upload(device_x, &one, sizeof(one));
  run_on_device(100, 256, "cuda_ipc_linear_f16", device_weights.pointer(), device_x.pointer(),
                device_y.pointer(), Word{1}, Word{weights.size()});
  const auto y = download<float>(device_y, weights.size());
  for (size_t i = 0; i < y.size(); ++i) {
    const float expected = decode(F16{weights[i]});
    CHECK(y[i] == expected || (std::isnan(y[i]) && std::isnan(expected)));
  }
}

void speeds() {
  constexpr size_t kBytes = size_t{4} << 30;
  const DeviceMemory memory(0, kBytes);
  const DeviceMemory vectors(0, 64 << 20);
  const auto report = [](const char* what, size_t bytes, double seconds) {
    std::printf("%-28s %8.1f GB/s\n", what, static_cast<double>(bytes) / seconds / 1e9);
  };
  const auto function = [](const char* name) { return builtin_kernels(0).function(name); };
  for (const unsigned blocks : {132u, 528u, 1056u, 2112u, 4224u}) {
    const cu::CUfunction kernel = function("cuda_ipc_checksum");
    const double seconds = seconds_of([&] {
      launch(kernel, blocks, 256, nullptr, memory.pointer(), Word{kBytes}, Word{0}, vectors.pointer());
    });
    report(("checksum, blocks " + std::to_string(blocks)).c_str(), kBytes, seconds);
  }
  report("checksum, whole call", kBytes, seconds_of([&] { device_checksum(0, memory.pointer(), kBytes); }));
  report("checksum, odd address", kBytes - 8,
         seconds_of([&] { device_checksum(0, memory.pointer() + 3, kBytes - 8); }));
  report("fill u32", kBytes, seconds_of([&] {
           launch(function("cuda_ipc_fill_u32"), 1056, 256, nullptr, memory.pointer(), Word{kBytes / 4}, 0u);
         }));
  const struct {
    const char* name;
    size_t width;
  } layers[] = {{"cuda_ipc_linear_f32", 4}, {"cuda_ipc_linear_f16", 2}, {"cuda_ipc_linear_bf16", 2}};
  for (const auto& layer : layers) {
    const Word in = 10000;
    const Word out = 50000;
    const double seconds = seconds_of([&] {
      launch(function(layer.name), 6250, 256, nullptr, memory.pointer(), vectors.pointer(),
             vectors.pointer() + (32 << 20), in, out);
    });
    report(layer.name, in * out * layer.width, seconds);
  }
}

void load_file(const char* path) {
  struct stat facts;
  CHECK(::stat(path, &facts) == 0);
  const auto bytes = static_cast<size_t>(facts.st_size);
  const DeviceMemory memory(0, bytes);
  struct Silent : LoadObserver {
    bool cancelled() const override { return false; }
    void arrived(size_t) override {}
  } observer;
  LoadPlan plan;
  plan.base = memory.pointer();
  plan.sources = {FilePath{path}};
  plan.runs = {{0, 0, bytes, 0}};
  for (const unsigned threads : {0u, 0u, 1u, 2u, 4u, 8u, 12u, 16u}) {
    plan.threads = threads;
    const LoadResult result = load(plan, observer);
    std::printf("load, %2u threads             %8.1f GB/s, %zu MiB pinned\n", result.threads,
                static_cast<double>(result.bytes) / result.seconds / 1e9, result.staging_bytes >> 20);
  }
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  void* const mapped = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
  CHECK(mapped != MAP_FAILED);
  ChecksumSums sums;
  run_on_host("cuda_ipc_checksum", address(mapped), Word{bytes}, Word{0}, address(&sums));
  unsigned char expected[16];
  checksum_finish(sums, bytes, expected);
  const Checksum checksum = device_checksum(0, memory.pointer(), bytes);
  CHECK(std::equal(checksum.begin(), checksum.end(), expected));
  std::printf("the checksum on the device is the file's\n");
}

unsigned encode_f32(int value) {
  const float number = static_cast<float>(value);
  unsigned bits;
  std::memcpy(&bits, &number, sizeof(bits));
  return bits;
}

unsigned encode_f16(int value) {
  // The same number with 3 exponent bits and 13 mantissa bits less.
  const unsigned bits = encode_f32(value);
  return value == 0 ? 0 : (bits >> 16 & 0x8000) | (((bits & 0x7fffffff) - (112u << 23)) >> 13);
}

}  // namespace

int main(int count, char** arguments) try {
  const ContextScope scope(0);
  checksums();
  fills<unsigned char>("cuda_ipc_fill_u8", 0xa5);
  fills<unsigned short>("cuda_ipc_fill_u16", 0xa5b6);
  fills<unsigned>("cuda_ipc_fill_u32", 0xa5b6c7d8);
  fills<Word>("cuda_ipc_fill_u64", 0xa5b6c7d8e9fa0b1c);
  atomic<unsigned>("cuda_ipc_atomic_add_u32", {0, 1, 0x7fffffff, 0xffffffff});
  atomic<Word>("cuda_ipc_atomic_add_u64", {0, 1, ~Word{0}});
  atomic<float>("cuda_ipc_atomic_add_f32", {0.0f, -0.0f, 1.5f, -3e38f, 3e38f, 1e-38f, -1e-38f, 1.2e-38f,
                                            -1.3e-38f, 1e-45f, INFINITY, -INFINITY, NAN});
  linear<float>("cuda_ipc_linear_f32", encode_f32);
  linear<F16>("cuda_ipc_linear_f16", encode_f16);
  linear<Bf16>("cuda_ipc_linear_bf16", [](int value) { return encode_f32(value) >> 16; });
  halves();
  std::printf("all kernels agree with their host implementations\n");
  speeds();
  if (count > 1) load_file(arguments[1]);
} catch (const Error& error) {
  std::fprintf(stderr, "%s: %s\n", error.code().c_str(), error.what());
  return 1;
}
