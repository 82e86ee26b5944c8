#include "addon/channel.h"

#include "addon/callback.h"
#include "addon/connect.h"
#include "addon/exports.h"
#include "addon/fd.h"
#include "addon/listener.h"
#include "addon/live_wrap.h"
#include "addon/pair.h"
#include "addon/process.h"
#include "addon/shelf.h"
#include "addon/testament.h"

namespace cuda_ipc {

namespace {

class NativeChannel : public LiveWrap<NativeChannel> {
 public:
  static constexpr napi_type_tag kTag{0x7b0f6f3a9c1e4d52, 0x8e6d5ac2b1f34907};
  static constexpr const char* kName = "NativeChannel";
  using LiveWrap::LiveWrap;

  ~NativeChannel() override {
    if (channel_) channel_->abandon();
  }

  void hold(std::shared_ptr<Channel> channel) { channel_ = std::move(channel); }

  void start(Napi::Object events) {
    Napi::FunctionReference on_data = listener(events, "onData");
    Napi::FunctionReference on_drain = listener(events, "onDrain");
    Napi::FunctionReference on_close = listener(events, "onClose");
    channel().start([post = poster()] { post(&NativeChannel::pump); });
    events_ = Napi::Persistent(events);
    on_data_ = std::move(on_data);
    on_drain_ = std::move(on_drain);
    on_close_ = std::move(on_close);
    keep_alive(true);
  }

  void tear_down() {
    const bool silent = last_words_.empty() || on_main_thread();
    if (channel_ && silent) channel_->abandon();
    if (channel_ && !silent)
      Environment::of(Env()).afterwards()->push_back(
          [channel = std::move(channel_), words = std::move(last_words_)] { channel->abandon(words); });
    forget_events();
  }

  static void define_class(Napi::Env env) {
    define(env,
           {getter<&NativeChannel::peer>("peer"), getter<&NativeChannel::fd>("fd"),
            getter<&NativeChannel::queued_bytes>("queuedBytes"), method<&NativeChannel::send>("send"),
            method<&NativeChannel::pause>("pause"), method<&NativeChannel::resume>("resume"),
            method<&NativeChannel::ref>("ref"), method<&NativeChannel::unref>("unref"),
            method<&NativeChannel::watch_peer>("watchPeer"), method<&NativeChannel::last_words>("lastWords"),
            method<&NativeChannel::take_ahead>("takeAhead"), method<&NativeChannel::give_back>("giveBack"),
            method<&NativeChannel::untaken>("untaken"), method<&NativeChannel::close>("close")});
  }

  Channel& channel() {
    if (!channel_) throw Error("ERR_CUDA_IPC_CLOSED", "This NativeChannel is connected to nothing");
    return *channel_;
  }

 private:
  static Napi::FunctionReference listener(Napi::Object events, const char* name) {
    return Napi::Persistent(function_argument(events.Get(name), name));
  }

  // One event per turn: promises that a listener has settled run before the next, and may pause the channel.
  void pump(Napi::Env env) {
    std::optional<Channel::Event> event = channel_->next();
    if (!event) return;
    if (auto* data = std::get_if<Channel::Data>(&*event)) {
      unless_terminating([&] { deliver(env, *data); });
    } else if (auto* closed = std::get_if<Channel::Closed>(&*event)) {
      unless_terminating([&] { deliver(env, *closed); });
      forget_events();
      keep_event_loop(false);
      keep_alive(false);
      return;
    } else {
      call_back(events_.Value(), on_drain_, {});
    }
    channel_->wake_for_more();
  }

  void deliver(Napi::Env env, Channel::Data& data) {
    const Napi::Value bytes = Napi::Buffer<uint8_t>::Copy(env, data.bytes.data(), data.bytes.size());
    Napi::Array fds = Napi::Array::New(env, data.fds.size());
    for (uint32_t i = 0; i < data.fds.size(); ++i) {
      const Napi::HandleScope scope(env);
      fds.Set(i, wrap_fd(env, std::move(data.fds[i])));
    }
    call_back(events_.Value(), on_data_, {bytes, fds});
  }

  void deliver(Napi::Env env, const Channel::Closed& closed) {
    const Napi::Value error = closed.error ? Environment::of(env).make_error(env, *closed.error) : env.Null();
    call_back(events_.Value(), on_close_, {error});
  }

  void forget_events() {
    events_.Reset();
    on_data_.Reset();
    on_drain_.Reset();
    on_close_.Reset();
  }

  Napi::Value peer(const Napi::CallbackInfo& info) {
    if (peer_.IsEmpty()) {
      const Peer& peer = channel().peer();
      Napi::Object facts = Napi::Object::New(info.Env());
      facts["pid"] = static_cast<double>(peer.process.pid);
      facts["uid"] = static_cast<double>(peer.uid);
      facts["gid"] = static_cast<double>(peer.gid);
      facts["startTime"] = peer.process.start_time;
      facts["command"] = peer.command;
      peer_ = Napi::Persistent(facts);
    }
    return peer_.Value();
  }
  Napi::Value fd(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), channel().fd()); }
  Napi::Value queued_bytes(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(channel().queued_bytes()));
  }

  Napi::Value send(const Napi::CallbackInfo& info) {
    const ViewBytes bytes = view_argument(info[0], "bytes");
    std::vector<int> fds;
    if (!is_absent(info[1])) {
      if (!info[1].IsArray()) invalid_argument("fds", "an array of NativeFd", info[1]);
      const Napi::Array array = info[1].As<Napi::Array>();
      for (uint32_t i = 0; i < array.Length(); ++i) fds.push_back(unwrap_fd(array.Get(i)).get());
    }
    return Napi::Boolean::New(info.Env(), channel().send(bytes.data, bytes.length, fds));
  }

  Napi::Value pause(const Napi::CallbackInfo& info) {
    channel().pause();
    return info.Env().Undefined();
  }
  Napi::Value resume(const Napi::CallbackInfo& info) {
    channel().resume();
    return info.Env().Undefined();
  }
  Napi::Value ref(const Napi::CallbackInfo& info) {
    if (!channel().finished()) keep_event_loop(true);
    return info.Env().Undefined();
  }
  Napi::Value unref(const Napi::CallbackInfo& info) {
    keep_event_loop(false);
    return info.Env().Undefined();
  }
  Napi::Value watch_peer(const Napi::CallbackInfo& info) {
    const Napi::Function on_exit = function_argument(info[0], "onExit");
    return watch_process(info.Env(), channel().open_peer(), on_exit);
  }
  Napi::Value last_words(const Napi::CallbackInfo& info) {
    const ViewBytes bytes = view_argument(info[0], "bytes");
    last_words_.assign(bytes.data, bytes.data + bytes.length);
    return info.Env().Undefined();
  }
  Napi::Value take_ahead(const Napi::CallbackInfo& info) {
    const std::string lease = string_argument(info[0], "lease");
    const std::shared_ptr<ShelfSender> from = sender();
    const std::optional<std::string> version = from ? from->take(lease) : std::nullopt;
    return version ? Napi::String::New(info.Env(), *version) : info.Env().Undefined();
  }
  Napi::Value give_back(const Napi::CallbackInfo& info) {
    const std::string lease = string_argument(info[0], "lease");
    if (const std::shared_ptr<ShelfSender> from = sender()) from->give_back(lease);
    return info.Env().Undefined();
  }
  Napi::Value untaken(const Napi::CallbackInfo& info) {
    const std::shared_ptr<ShelfSender> from = sender();
    const std::vector<std::string> leases = from ? from->untaken() : std::vector<std::string>();
    Napi::Array array = Napi::Array::New(info.Env(), leases.size());
    for (uint32_t i = 0; i < leases.size(); ++i) array.Set(i, leases[i]);
    return array;
  }
  std::shared_ptr<ShelfSender> sender() {
    return std::dynamic_pointer_cast<ShelfSender>(channel().observer());
  }
  Napi::Value close(const Napi::CallbackInfo& info) {
    channel().close();
    if (events_.IsEmpty()) keep_event_loop(false);  // not started: no onClose will come to do it
    return info.Env().Undefined();
  }

  std::shared_ptr<Channel> channel_;
  std::vector<uint8_t> last_words_;
  Napi::ObjectReference events_;
  Napi::FunctionReference on_data_;
  Napi::FunctionReference on_drain_;
  Napi::FunctionReference on_close_;
  Napi::ObjectReference peer_;
};

Napi::Value start_channel(const Napi::CallbackInfo& info) {
  NativeChannel& channel = NativeChannel::from(info[0], "channel");
  channel.start(object_argument(info[1], "events"));
  return info.Env().Undefined();
}

}  // namespace

Napi::Value wrap_channel(Napi::Env env, std::shared_ptr<Channel> channel) {
  NativeChannel* self = NativeChannel::make(env);
  self->hold(std::move(channel));
  return self->Value();
}

Channel& unwrap_channel(Napi::Value value) {
  return NativeChannel::from(value, "channel").channel();
}

void export_channel(Napi::Env env, Napi::Object exports) {
  NativeChannel::define_class(env);
  exports["startChannel"] = Napi::Function::New<checked<start_channel>>(env, "startChannel");
  export_listener(env, exports);
  export_connect(env, exports);
  export_pair(env, exports);
  export_shelf(env, exports);
  export_testament(env, exports);
}

}  // namespace cuda_ipc
