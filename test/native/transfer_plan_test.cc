// How a load is cut into chunks.
#include "transfer/plan.h"

#include <limits>

#include "check.h"

using namespace cuda_ipc;

namespace {

LoadPlan plan_of(std::vector<LoadRun> runs, size_t chunk_bytes) {
  LoadPlan plan;
  plan.sources.resize(2, FilePath{"unused"});
  plan.runs = std::move(runs);
  plan.chunk_bytes = chunk_bytes;
  return plan;
}

// Every byte of every run once, in order, in chunks of at most the size asked for.
void covers(const LoadPlan& plan) {
  const Chunks chunks(plan);
  size_t index = 0;
  size_t total = 0;
  for (const LoadRun& run : plan.runs) {
    for (size_t done = 0; done < run.bytes; ++index) {
      const LoadRun chunk = chunks.at(index);
      CHECK(chunk.source == run.source && chunk.offset == run.offset + done &&
            chunk.target == run.target + done);
      CHECK(chunk.bytes > 0 && chunk.bytes <= plan.chunk_bytes && chunk.bytes <= chunks.largest());
      done += chunk.bytes;
      total += chunk.bytes;
    }
  }
  CHECK(index == chunks.count());
  CHECK(total == chunks.total_bytes());
}

void refused(const LoadRun& run) {
  const LoadPlan plan = plan_of({{0, 0, 1, 0}, run}, 10);
  thrown("ERR_CUDA_IPC_INVALID_ARGUMENT", [&] { Chunks chunks(plan); });
}

}  // namespace

int main() {
  covers(plan_of({}, 10));
  covers(plan_of({{0, 0, 0, 0}}, 10));
  covers(plan_of({{0, 5, 10, 100}}, 10));
  covers(plan_of({{0, 5, 11, 100}, {1, 0, 0, 3}, {1, 7, 35, 3}, {0, 1, 1, 9}}, 10));

  constexpr size_t kBlock = kFileBlock;
  for (const size_t offset : {size_t{0}, size_t{8}, kBlock - 8, kBlock, kBlock + 8})
    for (const size_t bytes : {size_t{1}, kBlock - 8, kBlock, kBlock + 1, 7 * kBlock, 7 * kBlock + 8})
      covers(plan_of({{0, offset, bytes, 0}, {0, offset, bytes, 1 << 20}}, 2 * kBlock));

  const LoadPlan plan = plan_of({{0, 5, 11, 100}, {0, 2, 3, 0}}, 100);
  const Chunks chunks(plan);
  CHECK(chunks.needed()[0] == 16 && chunks.needed()[1] == 0);
  CHECK(chunks.largest() == 100);

  // Chunks of a file begin with its blocks, but for the first; not inside of the target's words; and what
  // lies in memory is cut as it comes.
  const auto second = [&](const LoadPlan& of) { return Chunks(of).at(1).offset; };
  CHECK(second(plan_of({{0, 24, 9 * kBlock, 0}}, 2 * kBlock)) == 2 * kBlock);
  CHECK(second(plan_of({{0, 23, 9 * kBlock, 0}}, 2 * kBlock)) == 2 * kBlock + 23);
  CHECK(second(plan_of({{0, 24, 9 * kBlock, 0}}, 2 * kBlock + 8)) == 2 * kBlock + 32);
  LoadPlan of_memory = plan_of({{0, 24, 9 * kBlock, 0}}, 2 * kBlock);
  of_memory.sources[0] = MemorySpan{nullptr, 10 * kBlock};
  CHECK(second(of_memory) == 2 * kBlock + 24);
  CHECK(Chunks(of_memory).largest() == 2 * kBlock);

  const size_t most = std::numeric_limits<size_t>::max();
  refused({2, 0, 1, 0});
  refused({0, most, 1, 0});
  refused({0, 0, 2, most - 1});
  refused({0, 0, most, 0});
}
