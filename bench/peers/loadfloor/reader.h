// One reader of the floor: its own ring of pinned chunks, its own stream, nothing shared with the others but
// the file and the number of the next chunk.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "clock.h"
#include "floor/cuda.h"
#include "floor/ticket.h"

namespace floor_program {

struct LoadJob {
  int file = -1;
  size_t offset = 0, bytes = 0;
  cu::CUdeviceptr target = 0;
};

inline void read_all(int file, unsigned char* to, size_t bytes, size_t offset) {
  for (size_t done = 0; done < bytes;) {
    const ssize_t count = ::pread(file, to + done, bytes - done, offset + done);
    require(count > 0, "pread");
    done += static_cast<size_t>(count);
  }
}

struct Shape {
  unsigned threads = 1;
  size_t chunk_bytes = 2 << 20;
  unsigned ring = 3;
  bool operator==(const Shape& other) const {
    return threads == other.threads && chunk_bytes == other.chunk_bytes && ring == other.ring;
  }
};

class Reader {
 public:
  // Pins its ring. On the thread that will run(), or another: the context is pushed by whoever calls.
  Reader(const cu::Table& cuda, const Shape& shape) : cuda_(cuda), chunk_bytes_(shape.chunk_bytes) {
    FLOOR_CHECK(cuda_, cuStreamCreate(&stream_, cu::CU_STREAM_NON_BLOCKING));
    slots_.resize(shape.ring);
    for (Slot& slot : slots_) {
      FLOOR_CHECK(cuda_, cuMemHostAlloc(&slot.memory, chunk_bytes_, 0));
      FLOOR_CHECK(cuda_, cuEventCreate(&slot.copied, cu::CU_EVENT_DISABLE_TIMING));
    }
  }

  void run(const LoadJob& job, std::atomic<size_t>& next) {
    const size_t chunks = (job.bytes + chunk_bytes_ - 1) / chunk_bytes_;
    for (size_t turn = 0, index; (index = next.fetch_add(1)) < chunks; ++turn) {
      Slot& slot = slots_[turn % slots_.size()];
      if (turn >= slots_.size()) FLOOR_CHECK(cuda_, cuEventSynchronize(slot.copied));
      const size_t at = index * chunk_bytes_;
      const size_t bytes = std::min(chunk_bytes_, job.bytes - at);
      read_all(job.file, static_cast<unsigned char*>(slot.memory), bytes, job.offset + at);
      FLOOR_CHECK(cuda_, cuMemcpyHtoDAsync(job.target + at, slot.memory, bytes, stream_));
      FLOOR_CHECK(cuda_, cuEventRecord(slot.copied, stream_));
    }
    FLOOR_CHECK(cuda_, cuStreamSynchronize(stream_));
  }

  // With the context current, and nothing in flight.
  void undo() {
    for (Slot& slot : slots_) {
      FLOOR_CHECK(cuda_, cuEventDestroy(slot.copied));
      FLOOR_CHECK(cuda_, cuMemFreeHost(slot.memory));
    }
    FLOOR_CHECK(cuda_, cuStreamDestroy(stream_));
  }

 private:
  struct Slot {
    void* memory = nullptr;
    cu::CUevent copied = nullptr;
  };

  const cu::Table& cuda_;
  size_t chunk_bytes_;
  cu::CUstream stream_ = nullptr;
  std::vector<Slot> slots_;
};

}  // namespace floor_program
