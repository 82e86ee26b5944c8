// Manifests of granted versions, as JavaScript looks into them.
#include "wire/manifest.h"

#include <memory>

#include "addon/arguments.h"
#include "addon/exports.h"
#include "addon/fd.h"

namespace cuda_ipc {

namespace {

class NativeManifest : public Napi::ObjectWrap<NativeManifest> {
 public:
  static constexpr napi_type_tag kTag{0x31c7a5e0f8924bd6, 0xb06d9e4c7f1a2538};

  explicit NativeManifest(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NativeManifest>(info) {
    info.This().As<Napi::Object>().TypeTag(&kTag);
  }

  ~NativeManifest() override { account(-1); }

  static void define(Napi::Env env) {
    Environment::of(env).constructor_of(&kTag) = Napi::Persistent(DefineClass(
        env, "NativeManifest",
        {InstanceAccessor<&NativeManifest::size>("size"), InstanceMethod<&NativeManifest::names>("names"),
         InstanceMethod<&NativeManifest::find>("find"), InstanceMethod<&NativeManifest::tensor>("tensor")}));
  }

  static Napi::Value create(Napi::Env env, std::unique_ptr<const Manifest> manifest) {
    const Napi::Object object = Environment::of(env).constructor_of(&kTag).New({});
    NativeManifest* const self = Unwrap(object);
    self->manifest_ = std::move(manifest);
    self->account(1);
    return object;
  }

 private:
  // Tells the garbage collector what comes and goes with this object.
  void account(int sign) {
    if (manifest_)
      Napi::MemoryManagement::AdjustExternalMemory(Env(), sign * static_cast<int64_t>(manifest_->bytes()));
  }

  uint32_t count() const { return manifest_ ? manifest_->size() : 0; }

  Napi::Value size(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), count()); }

  Napi::Value names(const Napi::CallbackInfo& info) {
    Napi::Array array = Napi::Array::New(info.Env(), count());
    for (uint32_t index = 0; index < count(); ++index) {
      const Napi::HandleScope scope(info.Env());
      array.Set(index, text(info.Env(), manifest_->tensor(index).name));
    }
    return array;
  }

  Napi::Value find(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const std::string name = string_argument(info[0], "name");
      const std::optional<uint32_t> index = manifest_ ? manifest_->find(name) : std::nullopt;
      return index ? number(info.Env(), *index) : info.Env().Undefined();
    });
  }

  // A list, because an object would take three times as long.
  Napi::Value tensor(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const Napi::Env env = info.Env();
      const auto index = static_cast<uint32_t>(integer_argument(info[0], "index", 0, int64_t{count()} - 1));
      const Manifest::Tensor tensor = manifest_->tensor(index);
      Napi::Array all = Napi::Array::New(env, 5 + tensor.rank);
      all.Set(0u, text(env, tensor.name));
      all.Set(1u, text(env, tensor.dtype));
      all.Set(2u, number(env, tensor.slab));
      all.Set(3u, number(env, tensor.offset));
      all.Set(4u, number(env, tensor.bytes));
      for (uint32_t axis = 0; axis < tensor.rank; ++axis)
        all.Set(5 + axis, number(env, manifest_->dimension(index, axis)));
      return Napi::Value(all);
    });
  }

  static Napi::Value text(Napi::Env env, std::string_view text) {
    return Napi::String::New(env, text.data(), text.size());
  }

  static Napi::Value number(Napi::Env env, uint64_t value) {
    return Napi::Number::New(env, static_cast<double>(value));
  }

  std::unique_ptr<const Manifest> manifest_;
};

Napi::Value open_manifest(const Napi::CallbackInfo& info) {
  const Fd& fd = unwrap_fd(info[0]);
  if (!info[1].IsArray()) invalid_argument("slabs", "an array of byte counts", info[1]);
  const Napi::Array array = info[1].As<Napi::Array>();
  std::vector<uint64_t> slabs;
  for (uint32_t i = 0; i < array.Length(); ++i) slabs.push_back(bytes_argument(array.Get(i), "slabs"));
  return NativeManifest::create(info.Env(), std::make_unique<const Manifest>(read_manifest_file(fd), slabs));
}

}  // namespace

void export_manifest(Napi::Env env, Napi::Object exports) {
  NativeManifest::define(env);
  exports["openManifest"] = Napi::Function::New<checked<open_manifest>>(env, "openManifest");
}

}  // namespace cuda_ipc
