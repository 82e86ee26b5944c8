// Loads on the host driver: the right bytes, at the right places, and every way to fail.
#include "transfer/load.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <string>

#include "check.h"
#include "driver/driver.h"
#include "memory/device_memory.h"

using namespace cuda_ipc;

namespace {

constexpr size_t kChunk = 64 << 10;
using Bytes = std::vector<unsigned char>;

struct Observer : LoadObserver {
  bool cancelled() const override { return bytes >= cancel_at; }
  void arrived(size_t count) override { bytes += count; }
  std::atomic<size_t> bytes{0};
  size_t cancel_at = ~size_t{0};
};

class TemporaryFile {
 public:
  explicit TemporaryFile(const Bytes& content) {
    const int fd = ::mkstemp(path);
    CHECK(fd >= 0);
    CHECK(::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
    ::close(fd);
  }
  ~TemporaryFile() { ::unlink(path); }
  char path[64] = "/tmp/cuda-ipc-load-XXXXXX";
};

Bytes numbered(size_t count) {
  Bytes bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<unsigned char>(i * 2654435761u >> 13);
  return bytes;
}

LoadPlan plan_for(const DeviceMemory& memory) {
  LoadPlan plan;
  plan.base = memory.pointer();
  plan.chunk_bytes = kChunk;
  return plan;
}

Bytes read_back(const DeviceMemory& memory) {
  const ContextScope scope(0);
  Bytes bytes(memory.bytes());
  CUDA_IPC_CHECK(cuMemcpyDtoH(bytes.data(), memory.pointer(), bytes.size()));
  return bytes;
}

void place(Bytes& expected, const LoadRun& run, const Bytes& source) {
  std::copy_n(source.begin() + run.offset, run.bytes, expected.begin() + run.target);
}

void right_bytes() {
  const Bytes in_file = numbered(20 * kChunk + 777);
  const Bytes in_memory = numbered(3 * kChunk);
  const TemporaryFile file(in_file);
  const DeviceMemory memory(0, 32 * kChunk);
  for (const unsigned threads : {0u, 1u, 5u}) {
    LoadPlan plan = plan_for(memory);
    plan.threads = threads;
    plan.sources = {FilePath{file.path}, MemorySpan{in_memory.data(), in_memory.size()}};
    plan.runs = {{0, 3, 20 * kChunk + 774, 1}, {1, 1, 2 * kChunk, 25 * kChunk + 3}, {1, 9, 0, 5}};
    {
      const ContextScope scope(0);
      CUDA_IPC_CHECK(cuMemsetD8(memory.pointer(), 0xcc, memory.bytes()));
    }
    Observer observer;
    const LoadResult result = load(plan, observer);
    Bytes expected(memory.bytes(), 0xcc);
    place(expected, plan.runs[0], in_file);
    place(expected, plan.runs[1], in_memory);
    CHECK(read_back(memory) == expected);
    CHECK(result.bytes == 22 * kChunk + 774 && observer.bytes == result.bytes);
    CHECK(threads == 0 || result.threads == threads);
    CHECK(result.staging_bytes >= kChunk && result.staging_bytes <= 3 * kChunk * result.threads);
  }
}

void small_loads_stay_small() {
  const Bytes content = numbered(2000);
  const DeviceMemory memory(0, 4096);
  LoadPlan plan = plan_for(memory);
  plan.sources = {MemorySpan{content.data(), content.size()}};
  plan.runs = {{0, 0, 1000, 0}, {0, 1000, 1000, 1000}};
  Observer observer;
  const LoadResult result = load(plan, observer);
  CHECK(result.threads == 1);
  CHECK(result.staging_bytes <= 3000);
  plan.runs.clear();
  CHECK(load(plan, observer).bytes == 0);
}

void failures() {
  const Bytes content = numbered(30 * kChunk);
  const TemporaryFile file(content);
  const DeviceMemory memory(0, content.size());
  LoadPlan plan = plan_for(memory);
  Observer observer;
  plan.runs = {{0, 0, content.size(), 0}};

  plan.sources = {FilePath{std::string(file.path) + ".missing"}};
  CHECK(thrown("ERR_CUDA_IPC_FILE", [&] { load(plan, observer); }).system_errno == ENOENT);
  plan.sources = {FilePath{"/tmp"}};
  CHECK(thrown("ERR_CUDA_IPC_FILE", [&] { load(plan, observer); }).system_errno == EISDIR);
  const std::string fifo = std::string(file.path) + ".fifo";
  CHECK(::mkfifo(fifo.c_str(), 0600) == 0);
  plan.sources = {FilePath{fifo}};
  thrown("ERR_CUDA_IPC_FILE", [&] { load(plan, observer); });
  ::unlink(fifo.c_str());

  plan.sources = {FilePath{file.path}};
  plan.runs[0].offset = 1;
  CHECK(contains(thrown("ERR_CUDA_IPC_FILE_CHANGED", [&] { load(plan, observer); }).what(), file.path));
  plan.runs[0].offset = 0;
  plan.sources = {MemorySpan{content.data(), content.size() - 1}};
  thrown("ERR_CUDA_IPC_INVALID_ARGUMENT", [&] { load(plan, observer); });
  CHECK(observer.bytes == 0);

  // Memory that is not there.
  plan.sources = {FilePath{file.path}};
  plan.base += 1ull << 40;
  thrown("ERR_CUDA_IPC_CUDA", [&] { load(plan, observer); });
}

// Truncated after it was opened and measured.
void truncated_while_loading() {
  const TemporaryFile file(numbered(30 * kChunk));
  const DeviceMemory memory(0, 30 * kChunk);
  struct Truncating : Observer {
    void arrived(size_t count) override {
      Observer::arrived(count);
      CHECK(::truncate(path, 100) == 0);
    }
    const char* path;
  } observer;
  observer.path = file.path;
  LoadPlan plan = plan_for(memory);
  plan.threads = 1;
  plan.sources = {FilePath{file.path}};
  plan.runs = {{0, 0, 30 * kChunk, 0}};
  thrown("ERR_CUDA_IPC_FILE_CHANGED", [&] { load(plan, observer); });
}

void cancelling() {
  const Bytes content = numbered(64 * kChunk);
  const DeviceMemory memory(0, content.size());
  LoadPlan plan = plan_for(memory);
  plan.sources = {MemorySpan{content.data(), content.size()}};
  plan.runs = {{0, 0, content.size(), 0}};
  Observer at_once;
  at_once.cancel_at = 0;
  thrown("ERR_CUDA_IPC_ABORTED", [&] { load(plan, at_once); });
  CHECK(at_once.bytes == 0);
  Observer half_way;
  half_way.cancel_at = content.size() / 2;
  thrown("ERR_CUDA_IPC_ABORTED", [&] { load(plan, half_way); });
  CHECK(half_way.bytes < content.size());
}

}  // namespace

int main() {
  choose_provider("host");
  right_bytes();
  small_loads_stay_small();
  failures();
  truncated_while_loading();
  cancelling();
}
