// Work of a test's own in a stream of the host driver's, so that tests decide when it ends.
#pragma once

#include <future>
#include <utility>

#include "driver/host/state.h"

namespace cuda_ipc {

// Null: the default stream of device 0.
inline void submit(cu::CUstream stream, std::function<cu::CUresult()> run) {
  host::Context& context = *host::state().contexts[0];
  host::Work work;
  work.run = std::move(run);
  context.submit(stream == nullptr ? context.default_stream()
                                   : host::state().streams.find(reinterpret_cast<uintptr_t>(stream)),
                 std::move(work));
}

// Work that lasts until the gate is opened.
class Gate {
 public:
  explicit Gate(cu::CUstream stream) {
    submit(stream, [opened = opened_.get_future().share()] {
      opened.wait();
      return cu::CUDA_SUCCESS;
    });
  }
  void open() { opened_.set_value(); }

 private:
  std::promise<void> opened_;
};

}  // namespace cuda_ipc
