#include "driver/host/state.h"

#include <dlfcn.h>
#include <pthread.h>

#include <cstdio>
#include <mutex>
#include <stdexcept>

#include "driver/host/exit_gate.h"
#include "driver/host/faults.h"

namespace cuda_ipc::host {
namespace {

// Stream threads run this library's code for as long as the process lives, so it must not be unloaded: Node
// does that with an addon whose last environment has ended.
void pin_library() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&pin_library), &info) != 0 && info.dli_fname != nullptr)
    dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}

CUresult initialize(State& host) {
  try {
    host.config = read_config();
  } catch (const std::invalid_argument& problem) {
    std::fprintf(stderr, "%s\n", problem.what());
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (host.config.devices.empty()) return CUDA_ERROR_NO_DEVICE;
  for (size_t ordinal = 0; ordinal < host.config.devices.size(); ordinal++)
    host.contexts.push_back(std::make_unique<Context>(static_cast<int>(ordinal)));
  pin_library();
  close_gate_at_exit();
  pthread_atfork(nullptr, nullptr, [] { state().forked = true; });
  host.initialized = true;
  return CUDA_SUCCESS;
}

}  // namespace

State& state() {
  static State* the_state = new State;
  return *the_state;
}

int State::ordinal_of(int index) const {
  for (size_t ordinal = 0; ordinal < config.devices.size(); ordinal++)
    if (config.devices[ordinal].index == index) return static_cast<int>(ordinal);
  return -1;
}

CUresult api::cuInit(unsigned flags) {
  if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
  static std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  return state().initialized ? CUDA_SUCCESS : initialize(state());
}

}  // namespace cuda_ipc::host
