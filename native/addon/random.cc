// Random names.
#include <napi.h>
#include <sys/random.h>

#include <cerrno>
#include <string>

#include "addon/arguments.h"
#include "addon/exports.h"

namespace cuda_ipc {

namespace {

Napi::Value random_id(const Napi::CallbackInfo& info) {
  unsigned char bytes[16];
  // So few are never cut short by a signal.
  if (::getrandom(bytes, sizeof bytes, 0) != static_cast<ssize_t>(sizeof bytes)) {
    Error error("ERR_CUDA_IPC_SYSTEM", "The kernel gives no random bytes: getrandom(2) failed.");
    error.system_errno = errno;
    error.call = "getrandom";
    throw error;
  }
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return Napi::String::New(info.Env(), text);
}

}  // namespace

void export_random(Napi::Env env, Napi::Object exports) {
  exports["randomId"] = Napi::Function::New<checked<random_id>>(env, "randomId");
}

}  // namespace cuda_ipc
