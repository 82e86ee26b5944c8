#include "transfer/staging_ring.h"

#include <utility>

#include "memory/undo.h"

namespace cuda_ipc {

namespace {

constexpr size_t kMostChunks = 2;  // one is read into while the other is copied; a third gains nothing

}  // namespace

StagingRing::StagingRing(int device, size_t chunk_bytes, std::function<void(size_t)> arrived)
    : device_(device),
      chunk_bytes_(chunk_bytes),
      arrived_(std::move(arrived)),
      stream_(device, cu::CU_STREAM_NON_BLOCKING) {}

StagingRing::~StagingRing() {
  if (idle_) return;
  // On the way out of a failure: what is enqueued must not outlive the copies' source, nor their target's
  // owner.
  undo(device_, [this](const cu::Table& table) { table.cuStreamSynchronize(stream_.get()); });
}

std::unique_ptr<StagingRing::Chunk> StagingRing::take() {
  if (!in_flight_.empty() && in_flight_.front()->copied.reached()) return pop_arrived();
  if (chunks_made_ == kMostChunks) {
    in_flight_.front()->copied.wait();
    return pop_arrived();
  }
  auto chunk = std::make_unique<Chunk>(device_, chunk_bytes_);
  ++chunks_made_;
  return chunk;
}

void StagingRing::copy(std::unique_ptr<Chunk> chunk, const unsigned char* from, cu::CUdeviceptr to,
                       size_t bytes) {
  chunk->in_flight = bytes;
  idle_ = false;
  chunk->memory.lock();
  in_flight_.push_back(std::move(chunk));
  const Chunk& last = *in_flight_.back();
  CUDA_IPC_CHECK(cuMemcpyHtoDAsync(to, from, bytes, stream_.get()));
  last.copied.record(stream_);
}

void StagingRing::drain() {
  while (!in_flight_.empty()) {
    in_flight_.front()->copied.wait();
    pop_arrived();
  }
  CUDA_IPC_CHECK(cuStreamSynchronize(stream_.get()));
  idle_ = true;
}

std::unique_ptr<StagingRing::Chunk> StagingRing::pop_arrived() {
  auto chunk = std::move(in_flight_.front());
  in_flight_.pop_front();
  arrived_(chunk->in_flight);
  return chunk;
}

}  // namespace cuda_ipc
