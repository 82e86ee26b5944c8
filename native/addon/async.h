// Promises for work on the pool.
#pragma once

#include <napi.h>

#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "addon/environment.h"
#include "addon/pool.h"

namespace cuda_ipc {

// A promise that is settled once, from any thread, with what `convert` makes of a result on the event loop.
// The event loop stays alive until then. Made on the environment's thread.
template <class Result, class Convert>
class Pledge {
 public:
  Pledge(Napi::Env env, Convert convert)
      : deferred_(Napi::Promise::Deferred::New(env)),
        dispatcher_(Environment::of(env).dispatcher()),
        convert_(std::move(convert)) {
    dispatcher_->ref();
  }

  Napi::Promise promise() const { return deferred_.Promise(); }

  // One of the two, before it is settled.
  std::optional<Result> result;
  std::optional<Error> error;

  // From any thread: settles on the event loop. When the environment goes down first, the result is destroyed
  // with the pledge, here.
  static void post(std::shared_ptr<Pledge> self) {
    const std::shared_ptr<Dispatcher> dispatcher = self->dispatcher_;
    dispatcher->post([self = std::move(self)](Napi::Env env) { self->settle(env); });
  }

  // On the event loop.
  void settle(Napi::Env env) {
    dispatcher_->unref();
    if (error) {
      deferred_.Reject(Environment::of(env).make_error(env, *error));
      return;
    }
    try {
      deferred_.Resolve(convert_(env, *result));
    } catch (const Error& failure) {
      deferred_.Reject(Environment::of(env).make_error(env, failure));
    } catch (const Napi::Error& failure) {
      deferred_.Reject(failure.Value());
    }
  }

 private:
  Napi::Promise::Deferred deferred_;
  std::shared_ptr<Dispatcher> dispatcher_;
  Convert convert_;
};

// Runs `work` on the pool, without any Node-API inside, and resolves the promise with what `convert` makes of
// its result on the event loop. An Error thrown by `work` rejects it. The event loop stays alive until then.
// When the environment goes down first, the result is destroyed on the pool thread, which undoes the work
// when its type owns what it names. Where there is no thread for it, `work` is destroyed, and then `refused`
// is called, here.
//   run_async(env, [=] { return allocate(bytes); },
//             [](Napi::Env env, Allocation& a) -> Napi::Value { return Napi::BigInt::New(env, a.release());
//             });
template <class Work, class Convert, class Refused>
Napi::Promise run_async(Napi::Env env, Work work, Convert convert, Refused refused) {
  using Promised = Pledge<std::invoke_result_t<Work>, Convert>;
  auto pledge = std::make_shared<Promised>(env, std::move(convert));
  const Napi::Promise promise = pledge->promise();
  auto shared = std::make_shared<std::optional<Work>>(std::move(work));  // a task can be copied
  try {
    run_on_pool([pledge, shared]() mutable {
      try {
        pledge->result.emplace((**shared)());
      } catch (const Error& error) {
        pledge->error.emplace(error);
      } catch (const std::exception& error) {
        pledge->error.emplace("ERR_CUDA_IPC_INTERNAL", error.what());
      }
      shared->reset();  // here and not on the event loop: what it held may be the last of something
      Promised::post(std::move(pledge));
    });
  } catch (const std::exception& error) {
    pledge->error.emplace("ERR_CUDA_IPC_SYSTEM", std::string("no thread: ") + error.what());
    shared->reset();
    refused(env);
    pledge->settle(env);
  }
  return promise;
}

// The same for work that has nothing to be taken back from it.
template <class Work, class Convert>
Napi::Promise run_async(Napi::Env env, Work work, Convert convert) {
  return run_async(env, std::move(work), std::move(convert), [](Napi::Env) {});
}

// The same for work that returns nothing: resolves with undefined.
template <class Work>
Napi::Promise run_async(Napi::Env env, Work work) {
  return run_async(
      env,
      [work = std::move(work)]() mutable {
        work();
        return true;
      },
      [](Napi::Env env, bool&) -> Napi::Value { return env.Undefined(); });
}

}  // namespace cuda_ipc
