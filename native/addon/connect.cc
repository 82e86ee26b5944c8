#include "addon/connect.h"

#include "addon/arguments.h"
#include "addon/channel.h"
#include "channel/connect.h"

namespace cuda_ipc {

namespace {

// A promise of a channel while the owner's backlog is full. On the environment's thread, but for its
// destruction.
struct Pending {
  explicit Pending(Napi::Env env) : deferred(Napi::Promise::Deferred::New(env)) {}
  Napi::Promise::Deferred deferred;
  std::shared_ptr<void> wanted;  // dropped at teardown: the attempts end
  Environment::Closers::iterator closer;
};

void settle(Napi::Env env, Pending& pending, const std::shared_ptr<Channel>& channel,
            const std::optional<Error>& error) {
  Environment& environment = Environment::of(env);
  environment.dispatcher()->unref();
  environment.forget(pending.closer);
  if (channel)
    pending.deferred.Resolve(wrap_channel(env, channel));
  else
    pending.deferred.Reject(environment.make_error(env, *error));
}

void wait_for_owner(Napi::Env env, const std::string& path, const std::shared_ptr<Pending>& pending) {
  Environment& environment = Environment::of(env);
  std::shared_ptr<Dispatcher> dispatcher = environment.dispatcher();
  pending->wanted = std::make_shared<int>();
  connect_later(path, pending->wanted,
                [dispatcher, pending](std::shared_ptr<Channel> channel, std::optional<Error> error) {
                  dispatcher->post([pending, channel = std::move(channel), error = std::move(error)](
                                       Napi::Env env) { settle(env, *pending, channel, error); });
                });
  pending->closer = environment.on_teardown([weak = std::weak_ptr<Pending>(pending)] {
    if (const auto pending = weak.lock()) pending->wanted.reset();
  });
  dispatcher->ref();
}

Napi::Value try_connect_now(const Napi::CallbackInfo& info) {
  std::shared_ptr<Channel> channel = try_connect(string_argument(info[0], "socketPath"));
  return channel ? wrap_channel(info.Env(), std::move(channel)) : info.Env().Undefined();
}

Napi::Value connect(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string path = string_argument(info[0], "socketPath");
  auto pending = std::make_shared<Pending>(env);
  try {
    // A local connection takes the kernel microseconds, or it says at once that it must wait.
    if (std::shared_ptr<Channel> channel = try_connect(path))
      pending->deferred.Resolve(wrap_channel(env, std::move(channel)));
    else
      wait_for_owner(env, path, pending);
  } catch (const Error& error) {
    pending->deferred.Reject(Environment::of(env).make_error(env, error));
  }
  return pending->deferred.Promise();
}

}  // namespace

void export_connect(Napi::Env env, Napi::Object exports) {
  exports["tryConnect"] = Napi::Function::New<checked<try_connect_now>>(env, "tryConnect");
  exports["connect"] = Napi::Function::New<checked<connect>>(env, "connect");
}

}  // namespace cuda_ipc
