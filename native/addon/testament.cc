#include "addon/testament.h"

#include <map>

#include "addon/live_wrap.h"
#include "channel/testament.h"

namespace cuda_ipc {

namespace {

using Bytes = std::vector<uint8_t>;

Bytes bytes_argument_copy(Napi::Value value, const char* name) {
  const ViewBytes view = view_argument(value, name);
  return {view.data, view.data + view.length};
}

class NativeTestament : public LiveWrap<NativeTestament> {
 public:
  static constexpr napi_type_tag kTag{0x3c1d9a52e7f04b86, 0x95a8c02d64be1f7a};
  static constexpr const char* kName = "NativeTestament";
  using LiveWrap::LiveWrap;

  void write(std::string path, std::string journal, Bytes opening) {
    path_ = std::move(path);
    journal_ = std::move(journal);
    opening_ = std::move(opening);
  }

  void tear_down() {
    if (requests_.empty()) return;
    Bytes message = std::move(opening_);
    for (const auto& [key, request] : requests_)
      message.insert(message.end(), request.begin(), request.end());
    Environment::of(Env()).afterwards()->push_back(
        [path = std::move(path_), journal = std::move(journal_), message = std::move(message),
         count = requests_.size()] { Testament::execute(path, journal, message, count); });
  }

  static void define_class(Napi::Env env) {
    define(env, {method<&NativeTestament::set>("set"), method<&NativeTestament::remove>("delete")});
  }

 private:
  Napi::Value set(const Napi::CallbackInfo& info) {
    requests_[string_argument(info[0], "key")] = bytes_argument_copy(info[1], "request");
    return info.Env().Undefined();
  }
  Napi::Value remove(const Napi::CallbackInfo& info) {
    requests_.erase(string_argument(info[0], "key"));
    return info.Env().Undefined();
  }

  std::string path_;
  std::string journal_;
  Bytes opening_;
  std::map<std::string, Bytes> requests_;
};

Napi::Value create(const Napi::CallbackInfo& info) {
  if (on_main_thread()) return info.Env().Undefined();
  std::string path = string_argument(info[0], "socketPath");
  std::string journal = string_argument(info[1], "journal");
  Bytes opening = bytes_argument_copy(info[2], "opening");
  NativeTestament* self = NativeTestament::make(info.Env());
  self->write(std::move(path), std::move(journal), std::move(opening));
  return self->Value();
}

}  // namespace

void export_testament(Napi::Env env, Napi::Object exports) {
  NativeTestament::define_class(env);
  exports["testament"] = Napi::Function::New<checked<create>>(env, "testament");
}

}  // namespace cuda_ipc
