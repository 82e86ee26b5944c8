// A library of its own, to be preloaded into a process that will use CUDA: begins to bring CUDA up while the
// program is still starting, which takes as long as that. It shares nothing with the addon: whoever uses CUDA
// later finds the work done, or waits for it inside the driver.
#include "early/bring_up.h"
#include "early/request.h"

namespace {

__attribute__((constructor)) void on_load() {
  static cuda_ipc::early::Request request;
  if (cuda_ipc::early::take_request(request)) cuda_ipc::early::bring_up_beside(request);
}

}  // namespace
