// Runs closures on the event loop of one JavaScript environment, posted from any thread.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <mutex>

namespace cuda_ipc {

class Dispatcher : public std::enable_shared_from_this<Dispatcher> {
 public:
  using Closure = std::function<void(Napi::Env)>;

  // On the environment's thread.
  static std::shared_ptr<Dispatcher> create(Napi::Env env);
  ~Dispatcher();

  // From any thread. False, and the closure destroyed unrun, once the environment is going down.
  bool post(Closure closure);

  // On the environment's thread, counted: the event loop stays alive while the count is above zero. A new
  // dispatcher holds none, so that an idle library never keeps a process from ending.
  void ref();
  void unref();

  // On the environment's thread, at teardown: nothing posted from here on runs.
  void close();

 private:
  explicit Dispatcher(Napi::Env env) : env_(env) {}

  Napi::Env env_;
  napi_threadsafe_function function_ = nullptr;
  std::mutex mutex_;
  bool closed_ = false;
  int references_ = 0;
};

}  // namespace cuda_ipc
