#include "transfer/load.h"

#include <atomic>
#include <chrono>

#include "transfer/chunk_readers.h"
#include "transfer/staging_ring.h"

namespace cuda_ipc {

LoadResult load(const LoadPlan& plan, LoadObserver& observer) {
  ChunkReaders readers(plan, observer);
  std::atomic<size_t> staging_bytes{0};
  const auto start = std::chrono::steady_clock::now();
  const unsigned threads = readers.run([&] {
    const ContextScope scope(plan.device);
    StagingRing ring(plan.device, readers.staging_bytes(), [&](size_t bytes) { observer.arrived(bytes); });
    while (const auto part = readers.next()) {
      StagingRing::Chunk& chunk = ring.take();
      const unsigned char* from = readers.read(*part, chunk.memory->data());
      ring.copy(chunk, from, plan.base + part->target, part->bytes);
      observer.landing(ring.stream(), part->target, part->bytes);
    }
    ring.drain();
    staging_bytes += ring.pinned_bytes();
  });
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return {readers.total_bytes(), seconds.count(), staging_bytes, threads};
}

}  // namespace cuda_ipc
