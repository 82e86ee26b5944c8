// Calls from the event loop into the application.
#pragma once

#include <napi.h>

#include <initializer_list>

namespace cuda_ipc {

// What the application's function throws is reported as an uncaught exception, so that one bad listener does
// not take the library's state along. In an environment that is being terminated nothing happens.
void call_back(Napi::Value receiver, const Napi::FunctionReference& function,
               std::initializer_list<napi_value> arguments);

// Runs `prepare`, which may make JavaScript values: they cannot be made any more once the environment is
// being terminated, and then there is nobody to tell.
template <class Prepare>
void unless_terminating(Prepare prepare) {
  try {
    prepare();
  } catch (const Napi::Error&) {
  }
}

}  // namespace cuda_ipc
