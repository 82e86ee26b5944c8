#include "addon/shelf.h"

#include <limits>
#include <map>

#include "addon/callback.h"
#include "addon/fd.h"
#include "addon/live_wrap.h"

namespace cuda_ipc {

namespace {

std::vector<std::shared_ptr<const Fd>> shares_of(Napi::Value value) {
  if (!value.IsArray()) invalid_argument("fds", "an array of NativeFd", value);
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<std::shared_ptr<const Fd>> fds;
  for (uint32_t i = 0; i < array.Length(); ++i) fds.push_back(share_fd(array.Get(i)));
  return fds;
}

class NativeShelf : public LiveWrap<NativeShelf> {
 public:
  static constexpr napi_type_tag kTag{0x84e6c2d19f3b4a07, 0xa2701bd5e8c9463f};
  static constexpr const char* kName = "NativeShelf";
  using LiveWrap::LiveWrap;

  void hold(std::shared_ptr<Shelf> shelf) { shelf_ = std::move(shelf); }
  void tear_down() {
    if (shelf_) shelf_->clear();
    waiting_.clear();
  }

  static void define_class(Napi::Env env) {
    define(env, {method<&NativeShelf::put>("put"), method<&NativeShelf::remove>("remove"),
                 method<&NativeShelf::clear>("clear"), method<&NativeShelf::when_returned>("whenReturned")});
  }

  const std::shared_ptr<Shelf>& shelf() const {
    if (!shelf_) throw Error("ERR_CUDA_IPC_CLOSED", "This NativeShelf is no channel's");
    return shelf_;
  }

 private:
  Napi::Value put(const Napi::CallbackInfo& info) {
    const std::string set = string_argument(info[0], "set");
    Shelf::Entry entry;
    entry.version = string_argument(info[1], "version");
    if (!is_absent(info[2])) entry.checksum = string_argument(info[2], "checksum");
    const ViewBytes frames = view_argument(info[3], "frames");
    entry.frames.assign(frames.data, frames.data + frames.length);
    entry.fds = shares_of(info[4]);
    if (!is_absent(info[5])) entry.provider = string_argument(info[5], "provider");
    if (entry.frames.size() < Outbox::messages_for(entry.fds.size()))
      throw Error("ERR_CUDA_IPC_INVALID_ARGUMENT", "Expected frames for " + std::to_string(entry.fds.size()) +
                                                       " descriptors to travel with, but received " +
                                                       std::to_string(entry.frames.size()) + " bytes");
    shelf()->put(set, std::move(entry));
    return info.Env().Undefined();
  }

  Napi::Value remove(const Napi::CallbackInfo& info) {
    shelf()->remove(string_argument(info[0], "set"), string_argument(info[1], "version"));
    return info.Env().Undefined();
  }

  Napi::Value clear(const Napi::CallbackInfo& info) {
    shelf()->clear();
    return info.Env().Undefined();
  }

  Napi::Value when_returned(const Napi::CallbackInfo& info) {
    const std::string version = string_argument(info[0], "version");
    const Napi::Function on_returned = function_argument(info[1], "onReturned");
    const uint64_t key = ++last_key_;
    const bool out = shelf()->loans().when_returned(
        version, [post = poster(), key] { post([key](NativeShelf& self, Napi::Env) { self.tell(key); }); });
    if (out) waiting_.emplace(key, Napi::Persistent(on_returned));
    return Napi::Boolean::New(info.Env(), out);
  }

  void tell(uint64_t key) {
    const auto told = waiting_.extract(key);
    if (!told.empty()) unless_terminating([&] { call_back(Value(), told.mapped(), {}); });
  }

  std::map<uint64_t, Napi::FunctionReference> waiting_;
  uint64_t last_key_ = 0;
  std::shared_ptr<Shelf> shelf_;  // shared with the channels, which it may be collected before
};

Napi::Value create_shelf(const Napi::CallbackInfo& info) {
  if (!info[0].IsArray()) invalid_argument("uids", "an array of user ids", info[0]);
  const Napi::Array array = info[0].As<Napi::Array>();
  std::vector<uid_t> uids;
  for (uint32_t i = 0; i < array.Length(); ++i)
    uids.push_back(
        static_cast<uid_t>(integer_argument(array.Get(i), "uids", 0, std::numeric_limits<uid_t>::max())));
  NativeShelf* const self = NativeShelf::make(info.Env());
  self->hold(std::make_shared<Shelf>(std::move(uids)));
  return self->Value();
}

}  // namespace

std::shared_ptr<Shelf> shelf_argument(Napi::Value value, const char* name) {
  if (is_absent(value)) return nullptr;
  return NativeShelf::from(value, name).shelf();
}

void export_shelf(Napi::Env env, Napi::Object exports) {
  NativeShelf::define_class(env);
  exports["createShelf"] = Napi::Function::New<checked<create_shelf>>(env, "createShelf");
}

}  // namespace cuda_ipc
