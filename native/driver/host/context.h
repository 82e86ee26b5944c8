// A device's primary context: its streams, how they wait for each other, and whether it has failed.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "driver/host/stream.h"

namespace cuda_ipc::host {

class Context {
 public:
  explicit Context(int device);

  const int device;  // ordinal

  // CUDA_SUCCESS, or the error that ended the context's life. A failed context stays failed until the process
  // ends, even when it is released and retained anew.
  cu::CUresult status() const { return failure_; }
  void fail(cu::CUresult result);

  unsigned retain();
  // False when it is not retained. The last release destroys everything in the context.
  bool release();
  bool active() const { return retained_ > 0; }

  const std::shared_ptr<Stream>& default_stream() const { return default_stream_; }
  std::shared_ptr<Stream> create_stream(bool blocking);

  // Queues work behind everything it must come after by the legacy default stream's rules.
  Ticket submit(const std::shared_ptr<Stream>& stream, Work work);
  // All work that a piece of work submitted now would wait for.
  std::vector<Ticket> pending(Stream& stream);
  void wait_for(Stream& stream);
  void wait_for_all();

 private:
  std::vector<Ticket> prerequisites(const Stream& stream);
  void destroy_contents();

  std::atomic<cu::CUresult> failure_{cu::CUDA_SUCCESS};
  std::mutex retain_mutex_;
  std::atomic<unsigned> retained_{0};

  // Held while work is queued, so that streams only ever wait for what was queued before: no cycles.
  std::mutex order_mutex_;
  std::shared_ptr<Stream> default_stream_;
  std::vector<std::shared_ptr<Stream>> streams_;  // a destroyed one stays until its work is done
};

// The calling thread's current context, usable: CUDA_ERROR_INVALID_CONTEXT when there is none, or the error
// that the context has failed with.
cu::CUresult current_context(Context*& context);
// The same without looking at its state; null when there is none.
Context* current_context_or_null();

}  // namespace cuda_ipc::host
