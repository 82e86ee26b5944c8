#include "channel/file_lock.h"

#include "addon/arguments.h"
#include "addon/exports.h"

namespace cuda_ipc {

namespace {

class NativeFileLock : public Napi::ObjectWrap<NativeFileLock> {
 public:
  static constexpr char kKey = 0;
  using Napi::ObjectWrap<NativeFileLock>::ObjectWrap;

  static void define(Napi::Env env) {
    Environment::of(env).constructor_of(&kKey) = Napi::Persistent(DefineClass(
        env, "NativeFileLock",
        {InstanceAccessor<&NativeFileLock::held>("held"), InstanceMethod<&NativeFileLock::close>("close")}));
  }

  static Napi::Value create(Napi::Env env, Fd file) {
    const Napi::Object object = Environment::of(env).constructor_of(&kKey).New({});
    Unwrap(object)->file_ = std::move(file);
    return object;
  }

 private:
  Napi::Value held(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), static_cast<bool>(file_));
  }
  void close(const Napi::CallbackInfo&) { file_.reset(); }

  Fd file_;
};

Napi::Value lock(const Napi::CallbackInfo& info) {
  std::optional<Fd> file = lock_file(string_argument(info[0], "file"));
  return file ? NativeFileLock::create(info.Env(), std::move(*file)) : info.Env().Undefined();
}

}  // namespace

void export_file_lock(Napi::Env env, Napi::Object exports) {
  NativeFileLock::define(env);
  exports["lockFile"] = Napi::Function::New<checked<lock>>(env, "lockFile");
}

}  // namespace cuda_ipc
