// Checksums that ride along with a load: the same as of one pass over everything, whatever the plan looks
// like.
#include "kernels/streamed_checksum.h"

#include <cstdlib>

#include "check.h"
#include "driver/driver.h"
#include "fresh_scope.h"
#include "transfer/load.h"

using namespace cuda_ipc;

namespace {

constexpr size_t kChunk = 64 << 10;
constexpr size_t kBytes = 16 * kChunk;

struct Observer : LoadObserver {
  explicit Observer(StreamedChecksum& checksum) : checksum(checksum) {}
  bool cancelled() const override { return pieces >= cancel_at; }
  void arrived(size_t) override {}
  void landing(cu::CUstream stream, size_t target, size_t bytes) override {
    ++pieces;
    checksum.landing(stream, target, bytes);
  }
  StreamedChecksum& checksum;
  std::atomic<size_t> pieces{0};
  size_t cancel_at = ~size_t{0};
};

std::vector<unsigned char> content() {
  std::vector<unsigned char> bytes(kBytes + 100);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<unsigned char>(i * 2654435761u >> 13);
  return bytes;
}

// Runs of one source, given as (target, bytes).
LoadPlan plan_of(const DeviceMemory& memory, const std::vector<unsigned char>& source,
                 const std::vector<std::pair<size_t, size_t>>& runs) {
  LoadPlan plan;
  plan.base = memory.pointer();
  plan.chunk_bytes = kChunk;
  plan.threads = 3;
  plan.sources = {MemorySpan{source.data(), source.size()}};
  for (const auto& [target, bytes] : runs) plan.runs.push_back({0, target % 97, bytes, target});
  return plan;
}

void zero(const DeviceMemory& memory) {
  const ContextScope scope(0);
  CUDA_IPC_CHECK(cuMemsetD8(memory.pointer(), 0, memory.bytes()));
}

void expect_same(const DeviceMemory& memory, const LoadPlan& plan, size_t bytes) {
  zero(memory);
  StreamedChecksum checksum(plan, bytes);
  Observer observer(checksum);
  load(plan, observer);
  CHECK(checksum.finish() == device_checksum(0, plan.base, bytes));
}

std::vector<std::pair<size_t, size_t>> small_runs(size_t count, size_t bytes) {
  std::vector<std::pair<size_t, size_t>> runs;
  for (size_t i = 0; i < count; ++i) runs.emplace_back(i * 256, bytes);
  return runs;
}

void same_as_one_pass() {
  const auto source = content();
  const DeviceMemory memory(0, kBytes);
  const std::vector<std::vector<std::pair<size_t, size_t>>> shapes = {
      {{0, kBytes}},                                          // one run
      {{0, 5 * kChunk + 3}, {5 * kChunk + 256, 4 * kChunk}},  // a run that ends inside a word
      {{256, 1}, {512, 0}, {512, 7}, {1024, 3 * kChunk + 1}},
      {{0, 8}, {8, 8 * kChunk}, {9 * kChunk, 13}},  // a run right behind another
      small_runs(40, 255),                          // some gaps
      small_runs(200, 3),                           // too many
      {{3, 4 * kChunk}},                            // not at a word
      {{4 * kChunk, kChunk}, {0, kChunk}},          // not in order
      {},
  };
  for (const auto& runs : shapes)
    for (const size_t bytes : {kBytes, kBytes - 1, kBytes - 13}) {
      LoadPlan plan = plan_of(memory, source, runs);
      expect_same(memory, plan, bytes);
      plan.chunk_bytes = 1001;  // pieces that do not begin at words
      expect_same(memory, plan, bytes);
    }
}

void of_a_part() {
  const auto source = content();
  const DeviceMemory memory(0, kBytes);
  expect_same(memory, plan_of(memory, source, {{0, 1000}}), 1000);
  expect_same(memory, plan_of(memory, source, {{0, 1000}}), 1003);
  // The runs reach out of what is summed.
  expect_same(memory, plan_of(memory, source, {{0, kBytes}}), 4096);
}

void tells_changes_apart() {
  auto source = content();
  const DeviceMemory memory(0, kBytes);
  const LoadPlan plan = plan_of(memory, source, {{0, kBytes}});
  const auto sum = [&] {
    StreamedChecksum checksum(plan, kBytes);
    Observer observer(checksum);
    load(plan, observer);
    return checksum.finish();
  };
  const Checksum before = sum();
  CHECK(sum() == before);
  source[7 * kChunk + 5] ^= 1;
  CHECK(sum() != before);
}

void ends_with_its_load() {
  const auto source = content();
  const DeviceMemory memory(0, kBytes);
  const LoadPlan plan = plan_of(memory, source, {{0, kBytes}});
  StreamedChecksum checksum(plan, kBytes);
  Observer observer(checksum);
  observer.cancel_at = 3;
  thrown("ERR_CUDA_IPC_ABORTED", [&] { load(plan, observer); });
}

void refuses_what_is_not_there() {
  LoadPlan plan;
  plan.base = 0x1000;
  thrown("ERR_CUDA_IPC_INVALID_ARGUMENT", [&] { StreamedChecksum(plan, 100); });
}

}  // namespace

int main() {
  use_fresh_scope();
  ::setenv("CUDA_IPC_DRIVER", "host", 1);
  same_as_one_pass();
  of_a_part();
  tells_changes_apart();
  ends_with_its_load();
  refuses_what_is_not_there();
  return 0;
}
