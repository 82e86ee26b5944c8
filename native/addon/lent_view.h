// Memory of a JavaScript view, lent to work on the pool.
#pragma once

#include <napi.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "addon/arguments.h"
#include "addon/async.h"
#include "addon/environment.h"

namespace cuda_ipc {

// Keeps the view from being collected, and keeps the environment from going down under the work: V8 frees the
// memory with the isolate, so teardown waits for the end of a copy. It cannot guard against the application
// transferring the view's buffer to another thread in the meantime; the documentation forbids that.
class LentView {
 public:
  // On the environment's thread.
  static std::shared_ptr<LentView> lend(Napi::Env env, Napi::Value view, const char* name);
  void take_back(Napi::Env env);

  uint8_t* data() const { return bytes_.data; }
  size_t length() const { return bytes_.length; }

  // On the thread that works: the memory is not touched after this.
  void end();

 private:
  void wait();

  ViewBytes bytes_{};
  Napi::ObjectReference view_;  // reset on the environment's thread only
  Environment::Closers::iterator closer_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
};

// run_async for work that uses a view: calls work(data, length) on the pool.
template <class Work>
Napi::Promise run_with_view(Napi::Env env, Napi::Value view, const char* name, Work work) {
  // Ends the loan when the work is over, and also when it is dropped without having run.
  struct Use {
    explicit Use(std::shared_ptr<LentView> v) : view(std::move(v)) {}
    Use(Use&&) = default;
    ~Use() {
      if (view) view->end();
    }
    std::shared_ptr<LentView> view;
  };
  auto lent = LentView::lend(env, view, name);
  // The failure travels as a result: the view has to be taken back on the environment's thread either way.
  return run_async(
      env,
      [use = Use(lent), work = std::move(work)]() mutable -> std::optional<Error> {
        const Use ending = std::move(use);
        try {
          work(ending.view->data(), ending.view->length());
        } catch (const Error& error) {
          return error;
        } catch (const std::exception& error) {
          return Error("ERR_CUDA_IPC_INTERNAL", error.what());
        }
        return std::nullopt;
      },
      [lent](Napi::Env env, std::optional<Error>& error) -> Napi::Value {
        lent->take_back(env);
        if (error) throw *error;
        return env.Undefined();
      },
      [lent](Napi::Env env) { lent->take_back(env); });
}

}  // namespace cuda_ipc
