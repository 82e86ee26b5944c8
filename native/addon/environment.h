// What the addon keeps for each JavaScript environment (the main thread, each worker_thread).
#pragma once

#include <napi.h>

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <vector>

#include "addon/dispatcher.h"
#include "driver/error.h"

namespace cuda_ipc {

class Environment {
 public:
  static Environment& of(Napi::Env env);
  static void install(Napi::Env env);  // once, when the addon is loaded into `env`

  const std::shared_ptr<Dispatcher>& dispatcher() const { return dispatcher_; }

  // The error class lives in JavaScript: the addon's loader hands in a factory for it.
  void set_error_factory(Napi::Function factory);
  // The JavaScript error for `error`, ready to throw or to reject with.
  Napi::Value make_error(Napi::Env env, const Error& error);

  // The constructor of a class that the addon defines, under any address that stands for the class.
  Napi::FunctionReference& constructor_of(const void* key) { return constructors_[key]; }

  // Objects that own threads, sockets or mappings register a closer. At teardown the closers run newest
  // first, so children go before their parents. forget() takes one out again.
  using Closers = std::list<std::function<void()>>;
  Closers::iterator on_teardown(std::function<void()> closer);
  void forget(Closers::iterator closer);

  // Who holds this after the environment has gone down, on whatever thread, delays what was left to be done
  // after it. Whatever says that the environment holds nothing any more waits so for those that do.
  using Afterwards = std::shared_ptr<std::vector<std::function<void()>>>;
  const Afterwards& afterwards() const { return afterwards_; }

 private:
  explicit Environment(Napi::Env env);
  static void teardown(void* self);

  std::shared_ptr<Dispatcher> dispatcher_;
  Napi::FunctionReference error_factory_;
  std::map<const void*, Napi::FunctionReference> constructors_;
  Closers closers_;
  Afterwards afterwards_;
};

// Whether the calling environment ends with its process, and leaves nothing to be told to anybody.
bool on_main_thread();

// Runs `body` and turns a cuda_ipc::Error into the thrown JavaScript error, and so whatever else C++ throws:
// past this it would end the process.
template <class Body>
auto guarded(Napi::Env env, Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (const Error& error) {
    throw Napi::Error(env, Environment::of(env).make_error(env, error));
  } catch (const std::exception& error) {
    const Error internal("ERR_CUDA_IPC_INTERNAL", error.what());
    throw Napi::Error(env, Environment::of(env).make_error(env, internal));
  }
}

}  // namespace cuda_ipc
