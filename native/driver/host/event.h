// Events: the point in a stream's queue where they were last recorded.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>

#include "driver/host/shared_event.h"
#include "driver/host/stream.h"

namespace cuda_ipc::host {

struct Record {
  Ticket ticket;
  std::chrono::steady_clock::time_point time;  // written before the ticket is done
};

struct Event {
  Event(Context& context, unsigned flags) : context(context), flags(flags) {}

  Context& context;
  const unsigned flags;
  std::shared_ptr<SharedEvent> shared;  // of an interprocess event; it then knows everything
  bool imported = false;

  std::shared_ptr<Record> last() {
    const std::lock_guard<std::mutex> lock(mutex);
    return last_record;
  }
  bool done();

  std::mutex mutex;
  std::shared_ptr<Record> last_record;
};

// Null with `result` set when there is no such event.
std::shared_ptr<Event> find_event(cu::CUevent handle, cu::CUresult& result);
// The stream behind a handle; 0 and 1 are the context's default stream.
std::shared_ptr<Stream> find_stream(Context& context, cu::CUstream handle, cu::CUresult& result);

}  // namespace cuda_ipc::host
