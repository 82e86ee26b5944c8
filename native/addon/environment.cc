#include "addon/environment.h"

#include <sys/syscall.h>
#include <unistd.h>

namespace cuda_ipc {

namespace {

void run_all(std::vector<std::function<void()>>* tasks) {
  const std::unique_ptr<std::vector<std::function<void()>>> owned(tasks);
  for (const auto& task : *owned) task();
}

}  // namespace

Environment::Environment(Napi::Env env)
    : dispatcher_(Dispatcher::create(env)), afterwards_(new std::vector<std::function<void()>>, run_all) {}

Environment& Environment::of(Napi::Env env) {
  return *env.GetInstanceData<Environment>();
}

void Environment::install(Napi::Env env) {
  auto* self = new Environment(env);
  env.SetInstanceData<Environment>(self);
  // Instance data is deleted after the cleanup hooks have run, so teardown() sees a whole object.
  napi_add_env_cleanup_hook(env, teardown, self);
}

void Environment::teardown(void* data) {
  auto* self = static_cast<Environment*>(data);
  self->dispatcher_->close();
  while (!self->closers_.empty()) {
    auto closer = std::move(self->closers_.back());
    self->closers_.pop_back();
    closer();
  }
  self->constructors_.clear();
  self->error_factory_.Reset();
  self->afterwards_.reset();
}

void Environment::set_error_factory(Napi::Function factory) {
  error_factory_ = Napi::Persistent(factory);
}

Napi::Value Environment::make_error(Napi::Env env, const Error& error) {
  Napi::Object facts = Napi::Object::New(env);
  facts["code"] = error.code();
  facts["message"] = error.what();
  if (error.cuda_result != 0) {
    facts["cudaResult"] = error.cuda_result;
    facts["cudaName"] = error.cuda_name;
  }
  if (!error.call.empty()) facts["call"] = error.call;
  if (error.system_errno != 0) facts["errno"] = error.system_errno;
  if (!error.details.empty() || !error.texts.empty()) {
    Napi::Object details = Napi::Object::New(env);
    for (const auto& [name, text] : error.texts) details[name] = text;
    for (const auto& [name, value] : error.details) details[name] = static_cast<double>(value);
    facts["details"] = details;
  }
  if (error_factory_.IsEmpty()) return Napi::Error::New(env, error.what()).Value();
  return error_factory_.Call({facts});
}

bool on_main_thread() {
  return ::syscall(SYS_gettid) == ::getpid();
}

Environment::Closers::iterator Environment::on_teardown(std::function<void()> closer) {
  return closers_.insert(closers_.end(), std::move(closer));
}

void Environment::forget(Closers::iterator closer) {
  closers_.erase(closer);
}

}  // namespace cuda_ipc
