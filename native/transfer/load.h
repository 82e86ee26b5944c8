// Loading device memory from files and memory at the speed of the bus, in constant host memory.
#pragma once

#include <cstddef>

#include "transfer/plan.h"

namespace cuda_ipc {

// Called from the reading threads, several at once.
class LoadObserver {
 public:
  virtual ~LoadObserver() = default;
  // Looked at between chunks.
  virtual bool cancelled() const = 0;
  // `bytes` more have reached the device.
  virtual void arrived(size_t bytes) = 0;
  // The copy of a piece, of one chunk or of some side by side, is in the stream, on its way to `target` (from
  // LoadPlan::base): what is enqueued now finds it there, and is waited for before the load returns. With the
  // device's context current.
  virtual void landing(cu::CUstream /*stream*/, size_t /*target*/, size_t /*bytes*/) {}
};

struct LoadResult {
  size_t bytes;
  double seconds;
  size_t staging_bytes;
  unsigned threads;
};

// Blocks until everything is on the device, or has failed: nothing of it is in flight any more on return. The
// first failure stops all threads and is thrown: ERR_CUDA_IPC_ABORTED when cancelled, see open_source() for
// what files can do, and what the driver says to the copies.
LoadResult load(const LoadPlan& plan, LoadObserver& observer);

}  // namespace cuda_ipc
