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

// Runs `work` on the pool, without any Node-API inside, and resolves the promise with what `convert` makes of
// its result on the event loop. An Error thrown by `work` rejects it. The event loop stays alive until then.
// When the environment goes down first, the result is destroyed on the pool thread, which undoes the work
// when its type owns what it names.
//   run_async(env, [=] { return allocate(bytes); },
//             [](Napi::Env env, Allocation& a) -> Napi::Value { return Napi::BigInt::New(env, a.release());
//             });
template <class Work, class Convert>
Napi::Promise run_async(Napi::Env env, Work work, Convert convert) {
  using Result = std::invoke_result_t<Work>;
  struct State {
    State(Napi::Promise::Deferred d, Work w, Convert c)
        : deferred(d), work(std::move(w)), convert(std::move(c)) {}
    Napi::Promise::Deferred deferred;
    std::optional<Work> work;
    Convert convert;
    std::optional<Result> result;
    std::optional<Error> error;
  };
  auto state =
      std::make_shared<State>(Napi::Promise::Deferred::New(env), std::move(work), std::move(convert));
  auto dispatcher = Environment::of(env).dispatcher();
  dispatcher->ref();
  auto settle = [state, dispatcher](Napi::Env env) {
    dispatcher->unref();
    if (state->error) {
      state->deferred.Reject(Environment::of(env).make_error(env, *state->error));
      return;
    }
    try {
      state->deferred.Resolve(state->convert(env, *state->result));
    } catch (const Error& error) {
      state->deferred.Reject(Environment::of(env).make_error(env, error));
    } catch (const Napi::Error& error) {
      state->deferred.Reject(error.Value());
    }
  };
  try {
    run_on_pool([state, dispatcher, settle]() mutable {
      try {
        state->result.emplace((*state->work)());
      } catch (const Error& error) {
        state->error.emplace(error);
      } catch (const std::exception& error) {
        state->error.emplace("ERR_CUDA_IPC_INTERNAL", error.what());
      }
      state->work.reset();  // here and not on the event loop: what it held may be the last of something
      dispatcher->post(std::move(settle));
    });
  } catch (const std::exception& error) {
    dispatcher->unref();
    state->deferred.Reject(Environment::of(env).make_error(
        env, Error("ERR_CUDA_IPC_SYSTEM", std::string("no thread: ") + error.what())));
  }
  return state->deferred.Promise();
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
