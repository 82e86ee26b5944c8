#include "transfer/load.h"

#include <atomic>
#include <chrono>

#include "transfer/chunk_readers.h"
#include "transfer/staging_ring.h"

namespace cuda_ipc {

namespace {

// Tells of pieces that lie side by side together.
class Landings {
 public:
  Landings(LoadObserver& observer, cu::CUstream stream) : observer_(observer), stream_(stream) {}

  void add(const LoadRun& piece) {
    if (bytes_ != 0 && target_ + bytes_ != piece.target) tell();
    if (bytes_ == 0) target_ = piece.target;
    bytes_ += piece.bytes;
  }

  void tell() {
    if (bytes_ != 0) observer_.landing(stream_, target_, bytes_);
    bytes_ = 0;
  }

 private:
  LoadObserver& observer_;
  cu::CUstream stream_;
  size_t target_ = 0;
  size_t bytes_ = 0;
};

}  // namespace

LoadResult load(const LoadPlan& plan, LoadObserver& observer) {
  ChunkReaders readers(plan, observer);
  std::atomic<size_t> staging_bytes{0};
  const auto start = std::chrono::steady_clock::now();
  const unsigned threads = readers.run([&] {
    const ContextScope scope(plan.device);
    StagingRing ring(plan.device, readers.staging_bytes(), [&](size_t bytes) { observer.arrived(bytes); });
    ChunkReaders::Claim claim;
    Landings landings(observer, ring.stream());
    while (const auto part = readers.next(claim)) {
      StagingRing::Chunk& chunk = ring.take();
      const unsigned char* from = readers.read(*part, chunk.memory->data());
      ring.copy(chunk, from, plan.base + part->target, part->bytes);
      landings.add(*part);
      if (claim.empty()) landings.tell();
    }
    ring.drain();
    staging_bytes += ring.pinned_bytes();
  });
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return {readers.total_bytes(), seconds.count(), staging_bytes, threads};
}

}  // namespace cuda_ipc
