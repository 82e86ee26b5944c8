// Grants that a client's channel expects, as JavaScript sees them.
#include "addon/channel.h"
#include "addon/early_openings.h"
#include "addon/exports.h"
#include "addon/live_wrap.h"
#include "channel/connect.h"

namespace cuda_ipc {

namespace {

class NativeGrants : public LiveWrap<NativeGrants> {
 public:
  static constexpr napi_type_tag kTag{0x5d1a8f0c37be4269, 0x9c42e7b1f0a6835d};
  static constexpr const char* kName = "NativeGrants";
  using LiveWrap::LiveWrap;

  ~NativeGrants() override { openings_->abandon(); }

  void expect(const std::string& lease, Access access, bool ahead) {
    openings_->expect(lease, access, ahead, Environment::of(Env()).afterwards());
    Reactor::instance().want_relief();
  }
  void watch(Channel& channel) { channel.attend(openings_); }
  void tear_down() { openings_->abandon(); }

  static void define_class(Napi::Env env) {
    define(env, {method<&NativeGrants::expect>("expect"), method<&NativeGrants::open>("open"),
                 method<&NativeGrants::end>("end")});
  }

 private:
  Napi::Value expect(const Napi::CallbackInfo& info) {
    const std::string lease = string_argument(info[0], "lease");
    const Access access = access_argument(info[1]);
    const bool ahead = !is_absent(info[2]) && boolean_argument(info[2], "ahead");
    expect(lease, access, ahead);
    return info.Env().Undefined();
  }

  Napi::Value open(const Napi::CallbackInfo& info) {
    const std::string lease = string_argument(info[0], "lease");
    const auto slab = static_cast<size_t>(integer_argument(info[1], "slab", 0, UINT32_MAX));
    const SlabSource source = slab_source_argument(info[2]);
    const std::shared_ptr<Opening> opening = openings_->claim(lease, slab, source);
    if (!opening) return info.Env().Undefined();
    return promise_of(info.Env(), *opening);
  }

  static Napi::Promise promise_of(Napi::Env env, Opening& opening) {
    const auto wrap = [](Napi::Env env, std::shared_ptr<HeldMapping>& mapping) -> Napi::Value {
      return NativeMapping::create(env, std::move(mapping));
    };
    using Mapped = Pledge<std::shared_ptr<HeldMapping>, std::decay_t<decltype(wrap)>>;
    auto pledge = std::make_shared<Mapped>(env, wrap);
    const auto fill = [](Mapped& pledge, Opening::Outcome outcome) {
      if (outcome.mapping) pledge.result = std::move(outcome.mapping);
      pledge.error = std::move(outcome.error);
    };
    const Napi::Promise promise = pledge->promise();
    std::optional<Opening::Outcome> outcome = opening.take([pledge, fill](Opening::Outcome outcome) {
      fill(*pledge, std::move(outcome));
      Mapped::post(pledge);
    });
    if (outcome) {
      fill(*pledge, std::move(*outcome));
      pledge->settle(env);
    }
    return promise;
  }

  Napi::Value end(const Napi::CallbackInfo& info) {
    std::vector<std::shared_ptr<Opening>> left = openings_->end(string_argument(info[0], "lease"));
    if (left.empty()) return info.Env().Undefined();
    return run_async(info.Env(), [left = std::move(left)] {
      for (const std::shared_ptr<Opening>& opening : left) opening->undo();
    });
  }

  const std::shared_ptr<EarlyOpenings> openings_ = std::make_shared<EarlyOpenings>();
};

Napi::Value watch_grants(const Napi::CallbackInfo& info) {
  NativeGrants* const self = NativeGrants::make(info.Env());
  const Napi::Value value = self->Value();
  self->watch(unwrap_channel(info[0]));
  return value;
}

void append_frame(std::vector<uint8_t>& bytes, const std::string& message) {
  const auto length = static_cast<uint32_t>(message.size());
  for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<uint8_t>(length >> shift));
  bytes.insert(bytes.end(), message.begin(), message.end());
}

// ask(socketPath, hello, request, lease, access)
Napi::Value ask(const Napi::CallbackInfo& info) {
  const ViewBytes hello = view_argument(info[1], "hello");
  const std::string lease = string_argument(info[3], "lease");
  const Access access = access_argument(info[4]);
  std::vector<uint8_t> words(hello.data, hello.data + hello.length);
  append_frame(words, string_argument(info[2], "request"));
  Reactor::instance();  // whatever it lacks is better known before anything is said
  const std::shared_ptr<Channel> channel = try_connect(string_argument(info[0], "socketPath"), words);
  if (!channel) return info.Env().Undefined();
  Napi::Object asked = Napi::Object::New(info.Env());
  asked["channel"] = wrap_channel(info.Env(), channel);
  NativeGrants* const grants = NativeGrants::make(info.Env());
  asked["grants"] = grants->Value();
  grants->expect(lease, access, true);
  grants->watch(*channel);
  return asked;
}

}  // namespace

void export_grants(Napi::Env env, Napi::Object exports) {
  NativeGrants::define_class(env);
  exports["ask"] = Napi::Function::New<checked<ask>>(env, "ask");
  exports["watchGrants"] = Napi::Function::New<checked<watch_grants>>(env, "watchGrants");
}

}  // namespace cuda_ipc
