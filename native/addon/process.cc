#include "addon/process.h"

#include <sys/prctl.h>

#include <csignal>
#include <limits>

#include "addon/callback.h"
#include "addon/exports.h"
#include "addon/live_wrap.h"
#include "channel/process_watch.h"

namespace cuda_ipc {

namespace {

class NativeProcess : public LiveWrap<NativeProcess> {
 public:
  static constexpr napi_type_tag kTag{0x2f7cb2e84dd0497a, 0xa8b6e8f5a3f0c1d7};
  static constexpr const char* kName = "NativeProcess";
  using LiveWrap::LiveWrap;

  ~NativeProcess() override {
    if (watch_) watch_->stop();
  }

  void start(ProcessHandle process, Napi::Function on_exit) {
    watch_ = ProcessWatch::start(std::move(process), [post = poster()] { post(&NativeProcess::tell); });
    on_exit_ = Napi::Persistent(on_exit);
    keep_alive(true);
  }

  void tear_down() {
    if (watch_) watch_->stop();
    on_exit_.Reset();
  }

  static void define_class(Napi::Env env) {
    define(env, {getter<&NativeProcess::pid>("pid"), getter<&NativeProcess::start_time>("startTime"),
                 getter<&NativeProcess::exited>("exited"), getter<&NativeProcess::exited_at>("exitedAt"),
                 method<&NativeProcess::close>("close")});
  }

 private:
  void tell(Napi::Env env) {
    if (on_exit_.IsEmpty()) return;  // closed while the news was on its way
    const Napi::FunctionReference on_exit = std::move(on_exit_);
    call_back(Value(), on_exit, {});
    keep_alive(false);
  }

  ProcessWatch& watch() {
    if (!watch_) throw Error("ERR_CUDA_IPC_CLOSED", "This NativeProcess watches nothing");
    return *watch_;
  }

  Napi::Value pid(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), watch().pid()); }
  Napi::Value start_time(const Napi::CallbackInfo& info) {
    return Napi::String::New(info.Env(), watch().start_time());
  }
  Napi::Value exited(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), watch().exited_at().has_value());
  }
  Napi::Value exited_at(const Napi::CallbackInfo& info) {
    const auto at = watch().exited_at();
    if (!at) return info.Env().Undefined();
    return Napi::Number::New(info.Env(),
                             std::chrono::duration<double, std::milli>(at->time_since_epoch()).count());
  }
  Napi::Value close(const Napi::CallbackInfo& info) {
    watch().stop();
    on_exit_.Reset();
    keep_alive(false);
    return info.Env().Undefined();
  }

  std::shared_ptr<ProcessWatch> watch_;
  Napi::FunctionReference on_exit_;
};

Napi::Value watch_by_pid(const Napi::CallbackInfo& info) {
  const auto pid = static_cast<pid_t>(integer_argument(info[0], "pid", 1, std::numeric_limits<pid_t>::max()));
  const std::optional<std::string> start_time =
      is_absent(info[1]) ? std::nullopt : std::optional(string_argument(info[1], "startTime"));
  const Napi::Function on_exit = function_argument(info[2], "onExit");
  ProcessHandle process = open_process(pid);
  if (start_time && !process.gone && process.start_time != *start_time)
    throw Error("ERR_CUDA_IPC_PEER_UNPROVEN",
                "Process " + std::to_string(pid) + " started at " +
                    (process.start_time.empty() ? "a time not visible here" : process.start_time) +
                    ", not at " + *start_time +
                    ": it is not the process that was meant, which may have ended");
  if (start_time) process.start_time = *start_time;
  return watch_process(info.Env(), std::move(process), on_exit);
}

// The kernel's promise holds from here on: a parent that had died before is the caller's to notice.
Napi::Value die_with_parent(const Napi::CallbackInfo& info) {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
    throw_system_error(errno, "asking to be ended with the parent process");
  return info.Env().Undefined();
}

}  // namespace

Napi::Value watch_process(Napi::Env env, ProcessHandle process, Napi::Function on_exit) {
  NativeProcess* self = NativeProcess::make(env);
  const Napi::Object object = self->Value();
  self->start(std::move(process), on_exit);
  return object;
}

void export_process(Napi::Env env, Napi::Object exports) {
  NativeProcess::define_class(env);
  exports["dieWithParent"] = Napi::Function::New<checked<die_with_parent>>(env, "dieWithParent");
  exports["watchProcess"] = Napi::Function::New<checked<watch_by_pid>>(env, "watchProcess");
}

}  // namespace cuda_ipc
