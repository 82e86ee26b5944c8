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
        {InstanceAccessor<&NativeManifest::size>("size"), InstanceMethod<&NativeManifest::has>("has"),
         InstanceMethod<&NativeManifest::get>("get"), InstanceMethod<&NativeManifest::names>("names"),
         InstanceMethod<&NativeManifest::tensors>("tensors")}));
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

  std::optional<uint32_t> index_of(const Napi::CallbackInfo& info) const {
    const std::string name = string_argument(info[0], "name");
    return manifest_ ? manifest_->find(name) : std::nullopt;
  }

  Napi::Value size(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), count()); }

  Napi::Value has(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      return Napi::Boolean::New(info.Env(), index_of(info).has_value());
    });
  }

  Napi::Value get(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] {
      const std::optional<uint32_t> index = index_of(info);
      return index ? entry(info.Env(), *index) : info.Env().Undefined();
    });
  }

  Napi::Value names(const Napi::CallbackInfo& info) {
    return list(info.Env(), [&](uint32_t index) { return text(info.Env(), manifest_->tensor(index).name); });
  }

  Napi::Value tensors(const Napi::CallbackInfo& info) {
    return list(info.Env(), [&](uint32_t index) { return entry(info.Env(), index); });
  }

  template <class Item>
  Napi::Value list(Napi::Env env, Item item) {
    Napi::Array array = Napi::Array::New(env, count());
    for (uint32_t index = 0; index < count(); ++index) {
      const Napi::HandleScope scope(env);
      array.Set(index, item(index));
    }
    return array;
  }

  static Napi::Value text(Napi::Env env, std::string_view text) {
    return Napi::String::New(env, text.data(), text.size());
  }

  static Napi::Value number(Napi::Env env, uint64_t value) {
    return Napi::Number::New(env, static_cast<double>(value));
  }

  Napi::Value entry(Napi::Env env, uint32_t index) {
    const Manifest::Tensor tensor = manifest_->tensor(index);
    Napi::Array shape = Napi::Array::New(env, tensor.rank);
    for (uint32_t axis = 0; axis < tensor.rank; ++axis)
      shape.Set(axis, number(env, manifest_->dimension(index, axis)));
    Napi::Object entry = Napi::Object::New(env);
    entry["name"] = text(env, tensor.name);
    entry["dtype"] = text(env, tensor.dtype);
    entry["shape"] = shape;
    entry["slab"] = number(env, tensor.slab);
    entry["offset"] = number(env, tensor.offset);
    entry["bytes"] = number(env, tensor.bytes);
    return entry;
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
