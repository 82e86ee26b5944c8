// A JavaScript object whose native side calls back from another thread.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "addon/arguments.h"
#include "addon/environment.h"

namespace cuda_ipc {

// Self has `static constexpr napi_type_tag kTag` and `kName`, and `void tear_down()`, which stops the native
// side and lets go of JavaScript values: called when the environment goes down. Its destructor stops the
// native side.
template <class Self>
class LiveWrap : public Napi::ObjectWrap<Self> {
 public:
  explicit LiveWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Self>(info) {
    info.This().As<Napi::Object>().TypeTag(&Self::kTag);
  }

  ~LiveWrap() override {
    if (link_) link_->self = nullptr;
    keep_event_loop(false);
    if (closer_) Environment::of(this->Env()).forget(*closer_);
  }

  using Properties = std::vector<Napi::ClassPropertyDescriptor<Self>>;
  static void define(Napi::Env env, const Properties& properties) {
    Environment::of(env).constructor_of(&Self::kTag) =
        Napi::Persistent(Napi::ObjectWrap<Self>::DefineClass(env, Self::kName, properties));
  }

  // An object that is closed until its native side is put in: so is one that the application constructs.
  static Self* make(Napi::Env env) {
    const Napi::Object object = Environment::of(env).constructor_of(&Self::kTag).New({});
    Self* self = Napi::ObjectWrap<Self>::Unwrap(object);
    self->dispatcher_ = Environment::of(env).dispatcher();
    self->link_ = std::make_shared<Link>(Link{self});
    self->closer_ = Environment::of(env).on_teardown([self] {
      self->closer_.reset();
      self->tear_down();
    });
    return self;
  }

  static Self& from(Napi::Value value, const char* name) {
    Self* self = unwrap_tagged<Self>(value, Self::kTag);
    if (self == nullptr) invalid_argument(name, std::string("a ") + Self::kName, value);
    return *self;
  }

 protected:
  // From any thread, also after this object is gone: runs `body(Self&, Napi::Env)` on the event loop, if both
  // are still there by then.
  struct Link {
    Self* self;  // on the environment's thread only
  };
  class Poster {
   public:
    Poster(std::shared_ptr<Dispatcher> dispatcher, std::shared_ptr<Link> link)
        : dispatcher_(std::move(dispatcher)), link_(std::move(link)) {}
    template <class Body>
    void operator()(Body body) const {
      dispatcher_->post([link = link_, body = std::move(body)](Napi::Env env) {
        if (link->self != nullptr) std::invoke(body, *link->self, env);
      });
    }

   private:
    std::shared_ptr<Dispatcher> dispatcher_;
    std::shared_ptr<Link> link_;
  };
  Poster poster() const { return {dispatcher_, link_}; }

  // While events may still come, the object is not collected, whoever holds it.
  void keep_alive(bool keep) {
    if (kept_ == keep) return;
    kept_ = keep;
    keep ? this->Ref() : this->Unref();
  }

  void keep_event_loop(bool keep) {
    if (loop_kept_ == keep) return;
    loop_kept_ = keep;
    keep ? dispatcher_->ref() : dispatcher_->unref();
  }

  using Method = Napi::Value (Self::*)(const Napi::CallbackInfo&);
  template <Method body>
  static Napi::ClassPropertyDescriptor<Self> method(const char* name) {
    return Napi::ObjectWrap<Self>::InstanceMethod(name, &LiveWrap::template guarded_call<body>);
  }
  template <Method body>
  static Napi::ClassPropertyDescriptor<Self> getter(const char* name) {
    return Napi::ObjectWrap<Self>::InstanceAccessor(name, &LiveWrap::template guarded_call<body>, nullptr);
  }

 private:
  template <Method body>
  Napi::Value guarded_call(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] { return (static_cast<Self*>(this)->*body)(info); });
  }

  std::shared_ptr<Dispatcher> dispatcher_;
  std::shared_ptr<Link> link_;
  std::optional<Environment::Closers::iterator> closer_;
  bool kept_ = false;
  bool loop_kept_ = false;
};

}  // namespace cuda_ipc
