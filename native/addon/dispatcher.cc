#include "addon/dispatcher.h"

#include "addon/environment.h"

namespace cuda_ipc {

namespace {

// Our own failure, out of a closure that had nobody to hand it to: told in the same way.
void report(Napi::Env env, const std::exception& error) {
  try {
    const auto* ours = dynamic_cast<const Error*>(&error);
    const Error internal = ours != nullptr ? *ours : Error("ERR_CUDA_IPC_INTERNAL", error.what());
    napi_fatal_exception(env, Environment::of(env).make_error(env, internal));
  } catch (const Napi::Error&) {
    // The environment is being terminated: there is nobody to tell.
  }
}

void run(napi_env raw_env, napi_value, void*, void* data) {
  std::unique_ptr<Dispatcher::Closure> closure(static_cast<Dispatcher::Closure*>(data));
  if (raw_env == nullptr) return;  // the environment went down with this call still queued
  Napi::Env env(raw_env);
  Napi::HandleScope scope(env);
  try {
    (*closure)(env);
  } catch (const Napi::Error& error) {
    // A listener of the application threw: report it as any uncaught exception, and keep going.
    napi_fatal_exception(env, error.Value());
  } catch (const std::exception& error) {
    report(env, error);
  }
}

}  // namespace

std::shared_ptr<Dispatcher> Dispatcher::create(Napi::Env env) {
  std::shared_ptr<Dispatcher> self(new Dispatcher(env));
  const napi_value name = Napi::String::New(env, "cuda-ipc");
  if (napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, nullptr, run,
                                      &self->function_) != napi_ok)
    throw Napi::Error::New(env, "napi_create_threadsafe_function failed");
  napi_unref_threadsafe_function(env, self->function_);
  return self;
}

Dispatcher::~Dispatcher() = default;

bool Dispatcher::post(Closure closure) {
  auto boxed = std::make_unique<Closure>(std::move(closure));
  std::lock_guard<std::mutex> lock(mutex_);
  if (closed_) return false;
  if (napi_call_threadsafe_function(function_, boxed.get(), napi_tsfn_nonblocking) != napi_ok) return false;
  boxed.release();
  return true;
}

void Dispatcher::ref() {
  if (closed_ || references_++ != 0) return;
  napi_ref_threadsafe_function(env_, function_);
}

void Dispatcher::unref() {
  if (closed_ || --references_ != 0) return;
  napi_unref_threadsafe_function(env_, function_);
}

void Dispatcher::close() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (closed_) return;
  closed_ = true;
  napi_release_threadsafe_function(function_, napi_tsfn_abort);
}

}  // namespace cuda_ipc
