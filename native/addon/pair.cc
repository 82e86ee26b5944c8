#include "addon/pair.h"

#include "addon/arguments.h"
#include "addon/channel.h"
#include "addon/fd.h"
#include "addon/shelf.h"
#include "channel/pair.h"

namespace cuda_ipc {

namespace {

Napi::Value socket_pair(const Napi::CallbackInfo& info) {
  auto [channel, fd] = make_channel_pair();
  Napi::Array ends = Napi::Array::New(info.Env(), 2);
  ends[0u] = wrap_channel(info.Env(), std::move(channel));
  ends[1u] = wrap_fd(info.Env(), std::move(fd));
  return ends;
}

Napi::Value adopt(const Napi::CallbackInfo& info) {
  const Fd& fd = unwrap_fd(info[0]);
  const std::shared_ptr<Shelf> shelf = shelf_argument(info[1], "shelf");
  std::shared_ptr<Channel> channel = adopt_channel(fd.duplicate());
  close_fd(info[0]);
  // Who abandons it, when nobody wants it any more, comes before it is attended.
  const Napi::Value wrapped = wrap_channel(info.Env(), channel);
  if (shelf)
    if (auto sender = ShelfSender::for_peer(shelf, channel->peer_uid())) channel->attend(std::move(sender));
  return wrapped;
}

}  // namespace

void export_pair(Napi::Env env, Napi::Object exports) {
  exports["socketPair"] = Napi::Function::New<checked<socket_pair>>(env, "socketPair");
  exports["adoptChannel"] = Napi::Function::New<checked<adopt>>(env, "adoptChannel");
}

}  // namespace cuda_ipc
