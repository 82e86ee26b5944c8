// The checksum of sources is the one that a device finds after they were loaded.
#include "kernels/source_checksum.h"

#include <unistd.h>

#include <atomic>
#include <cstdlib>

#include "check.h"
#include "driver/driver.h"
#include "fresh_scope.h"
#include "memory/device_memory.h"

using namespace cuda_ipc;

namespace {

constexpr size_t kChunk = 64 << 10;
constexpr size_t kBytes = 16 * kChunk;

struct Observer : LoadObserver {
  bool cancelled() const override { return bytes >= cancel_at; }
  void arrived(size_t count) override { bytes += count; }
  std::atomic<size_t> bytes{0};
  size_t cancel_at = ~size_t{0};
};

struct TemporaryFile {
  explicit TemporaryFile(const std::vector<unsigned char>& content) : fd(::mkstemp(path)) {
    CHECK(::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
  }
  ~TemporaryFile() {
    ::close(fd);
    ::unlink(path);
  }
  char path[64] = "/tmp/cuda-ipc-sum-XXXXXX";
  int fd;
};

std::vector<unsigned char> content() {
  std::vector<unsigned char> bytes(kBytes + 5000);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<unsigned char>(i * 2654435761u >> 13);
  return bytes;
}

LoadPlan plan_of(SourceName source, std::vector<LoadRun> runs) {
  LoadPlan plan;
  plan.chunk_bytes = kChunk;
  plan.sources = {std::move(source)};
  plan.runs = std::move(runs);
  return plan;
}

Checksum sum(const LoadPlan& plan, size_t bytes) {
  Observer observer;
  return source_checksum(plan, bytes, observer);
}

void same_as_on_the_device() {
  const auto bytes = content();
  const TemporaryFile file(bytes);
  const DeviceMemory memory(0, kBytes);
  const std::vector<std::vector<LoadRun>> shapes = {
      {{0, 0, kBytes, 0}},
      {{0, 24, kBytes, 0}},
      {{0, 3, 5 * kChunk + 3, 256},
       {0, 9, 1, 6 * kChunk},
       {0, 0, 0, 7 * kChunk},
       {0, 4097, 4 * kChunk, 8 * kChunk}},
      {},
  };
  for (const auto& runs : shapes)
    for (const SourceName& source :
         {SourceName(FilePath{file.path}), SourceName(MemorySpan{bytes.data(), bytes.size()})})
      for (const FileAccess access : {FileAccess::kAuto, FileAccess::kDirect}) {
        LoadPlan plan = plan_of(source, runs);
        plan.base = memory.pointer();
        plan.access = access;
        {
          const ContextScope scope(0);
          CUDA_IPC_CHECK(cuMemsetD8(memory.pointer(), 0, memory.bytes()));
        }
        Observer observer;
        load(plan, observer);
        for (const size_t count : {kBytes, kBytes - 3})
          if (runs.empty() || runs[0].bytes != kBytes || count == kBytes)
            CHECK(sum(plan, count) == device_checksum(0, memory.pointer(), count));
      }
}

void tells_changes_apart() {
  auto bytes = content();
  const LoadPlan plan = plan_of(MemorySpan{bytes.data(), bytes.size()}, {{0, 0, kBytes, 0}});
  const Checksum before = sum(plan, kBytes);
  CHECK(sum(plan, kBytes) == before);
  bytes[9 * kChunk + 1] ^= 0x10;
  CHECK(sum(plan, kBytes) != before);
}

void refusals() {
  const auto bytes = content();
  const MemorySpan memory{bytes.data(), bytes.size()};
  const std::vector<std::vector<LoadRun>> bad = {
      {{0, 0, 8, 4}},                  // not at a word
      {{0, 0, 8, 16}, {0, 0, 8, 0}},   // not in order
      {{0, 0, 16, 0}, {0, 0, 16, 8}},  // one over another
      {{0, 0, kBytes + 1, 0}},         // beyond the end
  };
  for (const auto& runs : bad)
    thrown("ERR_CUDA_IPC_INVALID_ARGUMENT", [&] { sum(plan_of(memory, runs), kBytes); });
  thrown("ERR_CUDA_IPC_FILE", [&] { sum(plan_of(FilePath{"/nowhere"}, {{0, 0, 8, 0}}), kBytes); });
  Observer observer;
  observer.cancel_at = kChunk;
  const LoadPlan plan = plan_of(memory, {{0, 0, kBytes, 0}});
  thrown("ERR_CUDA_IPC_ABORTED", [&] { source_checksum(plan, kBytes, observer); });
}

}  // namespace

int main() {
  use_fresh_scope();
  choose_provider("host");
  same_as_on_the_device();
  tells_changes_apart();
  refusals();
}
