#include "addon/listener.h"

#include "addon/callback.h"
#include "addon/channel.h"
#include "addon/fd.h"
#include "addon/live_wrap.h"
#include "addon/shelf.h"
#include "channel/listener.h"

namespace cuda_ipc {

namespace {

// Abandons the channel when nobody holds it any more. The reactor shares one that is attended, and an
// environment may go down before it is told of it.
std::shared_ptr<Channel> held(std::shared_ptr<Channel> channel) {
  Channel* const self = channel.get();
  return {self, [channel = std::move(channel)](Channel*) { channel->abandon(); }};
}

class NativeListener : public LiveWrap<NativeListener> {
 public:
  static constexpr napi_type_tag kTag{0x1c94e3b5d7f84c26, 0xb53a0e7d91c84f60};
  static constexpr const char* kName = "NativeListener";
  using LiveWrap::LiveWrap;

  ~NativeListener() override {
    if (listener_) listener_->close();
  }

  // `open` makes the listener; it is called with the handlers, before the first connection can be delivered:
  // that takes a turn of the event loop.
  template <class Open>
  void listen(Open open, const std::shared_ptr<Shelf>& shelf, Napi::Function on_connection,
              Napi::Function on_error) {
    Listener::Handlers handlers;
    if (shelf) handlers.attendant = [shelf](uid_t peer) { return ShelfSender::for_peer(shelf, peer); };
    // Waking an event loop that has been idle takes longer than accepting a connection.
    handlers.on_knock = [post = poster()] { post([](NativeListener&, Napi::Env) {}); };
    handlers.on_connection = [post = poster()](std::shared_ptr<Channel> channel) {
      post([channel = held(std::move(channel))](NativeListener& self, Napi::Env env) {
        self.tell(env, channel);
      });
    };
    handlers.on_error = [post = poster()](Error error) {
      post([error = std::move(error)](NativeListener& self, Napi::Env env) { self.tell(env, error); });
    };
    listener_ = open(std::move(handlers));
    on_connection_ = Napi::Persistent(on_connection);
    on_error_ = Napi::Persistent(on_error);
    keep_alive(true);
  }

  void tear_down() {
    if (listener_) listener_->close();
    on_connection_.Reset();
    on_error_.Reset();
  }

  static void define_class(Napi::Env env) {
    define(env, {method<&NativeListener::ref>("ref"), method<&NativeListener::unref>("unref"),
                 method<&NativeListener::detach>("detach"), method<&NativeListener::close>("close")});
  }

 private:
  bool open() const { return !on_connection_.IsEmpty(); }

  void tell(Napi::Env env, const std::shared_ptr<Channel>& channel) {
    listener_->handled();
    if (!open()) return channel->abandon();
    unless_terminating([&] { call_back(Value(), on_connection_, {wrap_channel(env, channel)}); });
  }

  void tell(Napi::Env env, const Error& error) {
    if (!open()) return;
    unless_terminating([&] { call_back(Value(), on_error_, {Environment::of(env).make_error(env, error)}); });
  }

  Napi::Value ref(const Napi::CallbackInfo& info) {
    if (open()) keep_event_loop(true);
    return info.Env().Undefined();
  }
  Napi::Value unref(const Napi::CallbackInfo& info) {
    keep_event_loop(false);
    return info.Env().Undefined();
  }
  Napi::Value detach(const Napi::CallbackInfo& info) {
    if (!open()) throw Error("ERR_CUDA_IPC_CLOSED", "This listener has been closed already");
    Fd socket = listener_->detach();
    close(info);
    return wrap_fd(info.Env(), std::move(socket));
  }
  Napi::Value close(const Napi::CallbackInfo& info) {
    tear_down();
    keep_event_loop(false);
    keep_alive(false);
    return info.Env().Undefined();
  }

  std::shared_ptr<Listener> listener_;
  Napi::FunctionReference on_connection_;
  Napi::FunctionReference on_error_;
};

Napi::Value listen(const Napi::CallbackInfo& info) {
  const std::string path = string_argument(info[0], "socketPath");
  const Napi::Object options = object_argument(info[1], "options");
  const auto mode = static_cast<unsigned>(integer_argument(options.Get("mode"), "mode", 0, 0777));
  const auto backlog = static_cast<int>(integer_argument(options.Get("backlog"), "backlog", 1, 65535));
  const std::shared_ptr<Shelf> shelf = shelf_argument(options.Get("shelf"), "shelf");
  const Napi::Function on_connection = function_argument(info[2], "onConnection");
  const Napi::Function on_error = function_argument(info[3], "onError");
  NativeListener* self = NativeListener::make(info.Env());
  const Napi::Object object = self->Value();
  self->listen(
      [&](Listener::Handlers handlers) { return Listener::open(path, mode, backlog, std::move(handlers)); },
      shelf, on_connection, on_error);
  return object;
}

Napi::Value adopt_listener(const Napi::CallbackInfo& info) {
  Fd socket = unwrap_fd(info[0]).duplicate();
  const Napi::Function on_connection = function_argument(info[1], "onConnection");
  const Napi::Function on_error = function_argument(info[2], "onError");
  const bool shared = !is_absent(info[3]) && boolean_argument(info[3], "shared");
  const std::shared_ptr<Shelf> shelf = shelf_argument(info[4], "shelf");
  NativeListener* self = NativeListener::make(info.Env());
  const Napi::Object object = self->Value();
  self->listen(
      [&](Listener::Handlers handlers) {
        return Listener::adopt(std::move(socket), shared, std::move(handlers));
      },
      shelf, on_connection, on_error);
  return object;
}

}  // namespace

void export_listener(Napi::Env env, Napi::Object exports) {
  NativeListener::define_class(env);
  exports["listen"] = Napi::Function::New<checked<listen>>(env, "listen");
  exports["adoptListener"] = Napi::Function::New<checked<adopt_listener>>(env, "adoptListener");
}

}  // namespace cuda_ipc
