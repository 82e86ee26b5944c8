// A JavaScript object that holds one native resource, shared with the pool work that uses it. The resource's
// destructor is its undo call and runs once, when the object and the last such work have let go.
#pragma once

#include <napi.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "addon/arguments.h"
#include "addon/async.h"
#include "addon/environment.h"
#include "addon/pool.h"

namespace cuda_ipc {

// Self has `static constexpr napi_type_tag kTag` and `static constexpr const char* kName`.
template <class Self, class Resource>
class ResourceWrap : public Napi::ObjectWrap<Self> {
 public:
  explicit ResourceWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Self>(info) {
    info.This().As<Napi::Object>().TypeTag(&Self::kTag);
  }

  // Collected: the undo call may block, so it runs on the pool.
  ~ResourceWrap() override {
    if (!resource_) return;
    try {
      run_on_pool([resource = take()] {});
    } catch (const std::exception&) {
      // No thread: the resource went with the closure, here.
    }
  }

  // Once per environment.
  using Properties = std::vector<Napi::ClassPropertyDescriptor<Self>>;
  static void define(Napi::Env env, const Properties& properties) {
    Environment::of(env).constructor_of(&Self::kTag) =
        Napi::Persistent(Napi::ObjectWrap<Self>::DefineClass(env, Self::kName, properties));
  }

  static Napi::Object create(Napi::Env env, std::shared_ptr<Resource> resource) {
    const Napi::Object object = Environment::of(env).constructor_of(&Self::kTag).New({});
    Napi::ObjectWrap<Self>::Unwrap(object)->hold(env, std::move(resource));
    return object;
  }

  // Null when `value` is anything else.
  static Self* from(Napi::Value value) { return unwrap_tagged<Self>(value, Self::kTag); }

  bool closed() const { return !resource_; }
  const std::shared_ptr<Resource>& resource() const {
    if (!resource_)
      throw Error("ERR_CUDA_IPC_CLOSED", std::string("This ") + Self::kName + " has been destroyed already");
    return resource_;
  }

 protected:
  // Lets go of the resource without waiting for anything; null when done already.
  std::shared_ptr<Resource> take() {
    if (resource_) Environment::of(this->Env()).forget(closer_);
    return std::move(resource_);
  }

  using Method = Napi::Value (Self::*)(const Napi::CallbackInfo&);
  // Methods and getters that may throw Error.
  template <Method body>
  static Napi::ClassPropertyDescriptor<Self> method(const char* name) {
    return Napi::ObjectWrap<Self>::InstanceMethod(name, &ResourceWrap::template guarded_call<body>);
  }
  template <Method body>
  static Napi::ClassPropertyDescriptor<Self> getter(const char* name) {
    return Napi::ObjectWrap<Self>::InstanceAccessor(name, &ResourceWrap::template guarded_call<body>,
                                                    nullptr);
  }
  // Lets go on the pool and returns a promise; harmless when done already.
  static Napi::ClassPropertyDescriptor<Self> destroyer(const char* name) {
    return Napi::ObjectWrap<Self>::InstanceMethod(name, &ResourceWrap::destroy);
  }

 private:
  Napi::Value destroy(const Napi::CallbackInfo& info) {
    return run_async(info.Env(), [resource = take()]() mutable { resource.reset(); });
  }

  void hold(Napi::Env env, std::shared_ptr<Resource> resource) {
    resource_ = std::move(resource);
    // At teardown on the spot: the pool's threads may not live long enough for it.
    closer_ = Environment::of(env).on_teardown([this] { std::exchange(resource_, nullptr).reset(); });
  }

  template <Method body>
  Napi::Value guarded_call(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] { return (static_cast<Self*>(this)->*body)(info); });
  }

  std::shared_ptr<Resource> resource_;
  Environment::Closers::iterator closer_;
};

}  // namespace cuda_ipc
