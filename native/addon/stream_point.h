// The end of what a stream holds at one moment, to be waited for on another thread.
#pragma once

#include <memory>

#include "addon/event.h"
#include "addon/unwrap.h"

namespace cuda_ipc {

class StreamPoint {
 public:
  explicit StreamPoint(const StreamRef& stream)
      : stream_(stream),
        event_(std::make_shared<OwnedEvent>(stream.device,
                                            cu::CU_EVENT_DISABLE_TIMING | cu::CU_EVENT_BLOCKING_SYNC)) {
    event_->record(stream.handle);
  }

  // Blocks; throws Error when the work has failed.
  void wait() const { event_->synchronize(); }

 private:
  StreamRef stream_;
  std::shared_ptr<OwnedEvent> event_;
};

}  // namespace cuda_ipc
