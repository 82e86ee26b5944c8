// A few chunks of pinned memory between a reader and one stream of copies to the device.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>

#include "transfer/pinned_memory.h"
#include "transfer/stream.h"

namespace cuda_ipc {

// Used by one thread, with the device's context current. Nothing is in flight any more once it is destroyed.
// Its memory comes from the loads before, and is left to the next one, see StagingStore.
class StagingRing {
 public:
  struct Chunk {
    Chunk(int device, size_t bytes);
    Event copied;
    std::unique_ptr<PinnedMemory> memory;
    size_t in_flight = 0;  // bytes
  };

  // `arrived` is told of bytes that have reached the device.
  StagingRing(int device, size_t chunk_bytes, std::function<void(size_t bytes)> arrived);
  ~StagingRing();
  StagingRing(const StagingRing&) = delete;
  StagingRing& operator=(const StagingRing&) = delete;

  // A chunk that nothing reads any more, for the next copy. Chunks are made only as they are needed, while
  // the copies before are still running: small loads pin little, and pinning goes on beside other threads'
  // reads and copies.
  Chunk& take();
  // Begins to copy `bytes` that lie at `from` in the chunk that was taken last.
  void copy(Chunk& chunk, const unsigned char* from, cu::CUdeviceptr to, size_t bytes);
  // Waits until everything has arrived, and what was enqueued behind it is done.
  void drain();
  // Where the copies are enqueued, in order.
  cu::CUstream stream() const { return stream_.get(); }

  size_t pinned_bytes() const { return chunks_.size() * chunk_bytes_; }

 private:
  Chunk& pop_arrived();

  int device_;
  size_t chunk_bytes_;
  std::function<void(size_t)> arrived_;
  bool idle_ = true;  // nothing was enqueued since the last drain()
  Stream stream_;
  std::deque<Chunk> chunks_;      // go before the stream
  std::deque<Chunk*> in_flight_;  // oldest first
};

}  // namespace cuda_ipc
