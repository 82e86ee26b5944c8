#include <limits>
#include <vector>

#include "addon/arguments.h"
#include "addon/exports.h"
#include "addon/fd.h"
#include "channel/listening_socket.h"
#include "channel/notify.h"

namespace cuda_ipc {

namespace {

Napi::Value notify(const Napi::CallbackInfo& info) {
  const std::string address = string_argument(info[0], "address");
  const ViewBytes bytes = view_argument(info[1], "bytes");
  std::vector<int> fds;
  if (!is_absent(info[2])) {
    if (!info[2].IsArray()) invalid_argument("fds", "an array of NativeFd", info[2]);
    const Napi::Array list = info[2].As<Napi::Array>();
    for (uint32_t i = 0; i < list.Length(); ++i) fds.push_back(unwrap_fd(list.Get(i)).get());
  }
  const bool sent = try_notify(address, bytes.data, bytes.length, fds.data(), fds.size());
  return Napi::Boolean::New(info.Env(), sent);
}

Napi::Value listening(const Napi::CallbackInfo& info) {
  const auto fd = static_cast<int>(integer_argument(info[0], "fd", 0, std::numeric_limits<int>::max()));
  const std::optional<std::string> path = listening_path(fd);
  return path ? Napi::String::New(info.Env(), *path) : info.Env().Undefined();
}

}  // namespace

void export_notify(Napi::Env env, Napi::Object exports) {
  exports["notify"] = Napi::Function::New<checked<notify>>(env, "notify");
  exports["listeningPath"] = Napi::Function::New<checked<listening>>(env, "listeningPath");
}

}  // namespace cuda_ipc
