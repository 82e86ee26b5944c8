#include "addon/callback.h"

namespace cuda_ipc {

// In plain Node-API: node-addon-api makes an Error of whatever is thrown, and aborts the process where that
// cannot be done because a worker_thread is being terminated.
void call_back(Napi::Value receiver, const Napi::FunctionReference& function,
               std::initializer_list<napi_value> arguments) {
  const napi_env env = receiver.Env();
  const napi_value callee = function.Value();
  if (napi_call_function(env, receiver, callee, arguments.size(), arguments.begin(), nullptr) == napi_ok)
    return;
  bool thrown = false;
  napi_value exception;
  if (napi_is_exception_pending(env, &thrown) == napi_ok && thrown &&
      napi_get_and_clear_last_exception(env, &exception) == napi_ok)
    napi_fatal_exception(env, exception);
}

}  // namespace cuda_ipc
