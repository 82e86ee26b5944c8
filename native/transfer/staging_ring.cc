#include "transfer/staging_ring.h"

#include <utility>

#include "memory/undo.h"
#include "transfer/staging_store.h"

namespace cuda_ipc {

namespace {

constexpr size_t kMostChunks = 2;  // one is read into while the other is copied; a third gains nothing

std::unique_ptr<PinnedMemory> kept_or_new(int device, size_t bytes) {
  auto kept = staging_store().take(bytes);
  return kept ? std::move(kept) : std::make_unique<PinnedMemory>(device, bytes);
}

}  // namespace

StagingRing::Chunk::Chunk(int device, size_t bytes) : copied(device), memory(kept_or_new(device, bytes)) {}

StagingRing::StagingRing(int device, size_t chunk_bytes, std::function<void(size_t)> arrived)
    : device_(device),
      chunk_bytes_(chunk_bytes),
      arrived_(std::move(arrived)),
      stream_(device, cu::CU_STREAM_NON_BLOCKING) {}

StagingRing::~StagingRing() {
  // On the way out of a failure: what is enqueued must not outlive the copies' source, nor their target's
  // owner. Where that cannot be had, the memory is nobody else's.
  if (!idle_)
    undo(device_, [this](const cu::Table& table) {
      idle_ = table.cuStreamSynchronize(stream_.get()) == cu::CUDA_SUCCESS;
    });
  if (!idle_) return;
  for (Chunk& chunk : chunks_) staging_store().give(std::move(chunk.memory));
}

StagingRing::Chunk& StagingRing::take() {
  if (!in_flight_.empty() && in_flight_.front()->copied.reached()) return pop_arrived();
  if (chunks_.size() == kMostChunks) {
    in_flight_.front()->copied.wait();
    return pop_arrived();
  }
  return chunks_.emplace_back(device_, chunk_bytes_);
}

void StagingRing::copy(Chunk& chunk, const unsigned char* from, cu::CUdeviceptr to, size_t bytes) {
  chunk.in_flight = bytes;
  idle_ = false;
  chunk.memory->lock();
  in_flight_.push_back(&chunk);
  CUDA_IPC_CHECK(cuMemcpyHtoDAsync(to, from, bytes, stream_.get()));
  chunk.copied.record(stream_);
}

void StagingRing::drain() {
  while (!in_flight_.empty()) {
    in_flight_.front()->copied.wait();
    pop_arrived();
  }
  CUDA_IPC_CHECK(cuStreamSynchronize(stream_.get()));
  idle_ = true;
}

StagingRing::Chunk& StagingRing::pop_arrived() {
  Chunk& chunk = *in_flight_.front();
  in_flight_.pop_front();
  arrived_(chunk.in_flight);
  return chunk;
}

}  // namespace cuda_ipc
