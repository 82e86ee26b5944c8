#include "channel/file_lock.h"

#include "addon/arguments.h"
#include "addon/exports.h"
#include "addon/fd.h"

namespace cuda_ipc {

namespace {

class NativeFileLock : public Napi::ObjectWrap<NativeFileLock> {
 public:
  static constexpr char kKey = 0;
  using Napi::ObjectWrap<NativeFileLock>::ObjectWrap;

  static void define(Napi::Env env) {
    Environment::of(env).constructor_of(&kKey) =
        Napi::Persistent(DefineClass(env, "NativeFileLock",
                                     {InstanceAccessor<&NativeFileLock::held>("held"),
                                      InstanceMethod<&NativeFileLock::duplicate>("duplicate"),
                                      InstanceMethod<&NativeFileLock::close>("close")}));
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
  Napi::Value duplicate(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      if (!file_) throw Error("ERR_CUDA_IPC_CLOSED", "This lock has been given up already");
      return wrap_fd(info.Env(), file_.duplicate());
    });
  }
  void close(const Napi::CallbackInfo&) { file_.reset(); }

  Fd file_;
};

Napi::Value lock(const Napi::CallbackInfo& info) {
  std::optional<Fd> file = lock_file(string_argument(info[0], "file"));
  return file ? NativeFileLock::create(info.Env(), std::move(*file)) : info.Env().Undefined();
}

Napi::Value adopt(const Napi::CallbackInfo& info) {
  return NativeFileLock::create(info.Env(), adopt_lock(unwrap_fd(info[0]).duplicate()));
}

}  // namespace

void export_file_lock(Napi::Env env, Napi::Object exports) {
  NativeFileLock::define(env);
  exports["lockFile"] = Napi::Function::New<checked<lock>>(env, "lockFile");
  exports["adoptLock"] = Napi::Function::New<checked<adopt>>(env, "adoptLock");
}

}  // namespace cuda_ipc
