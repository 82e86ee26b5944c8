#include "addon/fd.h"

#include <sys/mman.h>

#include <cstring>
#include <functional>
#include <limits>
#include <memory>

#include "addon/arguments.h"
#include "addon/async.h"
#include "addon/exports.h"
#include "addon/pool.h"

namespace cuda_ipc {

namespace {

class NativeFd : public Napi::ObjectWrap<NativeFd> {
 public:
  static constexpr napi_type_tag kTag{0x5d0d6b6c3c8f4f0b, 0x9a1f27c4a0c4d6e1};

  explicit NativeFd(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<NativeFd>(info), afterwards_(Environment::of(info.Env()).afterwards()) {
    info.This().As<Napi::Object>().TypeTag(&kTag);
  }

  // Collected: to close the last descriptor of device memory frees it, so not on the event loop.
  ~NativeFd() override {
    if (!open()) return;
    try {
      run_on_pool(closing());
    } catch (const std::exception&) {
      // No thread: the descriptor went with the closure, here.
    }
  }

  static void define(Napi::Env env) {
    Environment::of(env).constructor_of(&kTag) = Napi::Persistent(DefineClass(
        env, "NativeFd",
        {InstanceAccessor<&NativeFd::number>("fd"), InstanceMethod<&NativeFd::duplicate>("duplicate"),
         InstanceMethod<&NativeFd::dispose>("dispose"), InstanceMethod<&NativeFd::close>("close")}));
  }

  bool open() const { return fd_ && *fd_; }
  // Only while it is open.
  const std::shared_ptr<Fd>& fd() const { return fd_; }
  void let_go() { fd_.reset(); }
  void hold(Fd fd) { fd_ = std::make_shared<Fd>(std::move(fd)); }

 private:
  Napi::Value number(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), open() ? fd_->get() : -1);
  }

  Napi::Value duplicate(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] { return wrap_fd(info.Env(), unwrap_fd(info.This()).duplicate()); });
  }

  void close(const Napi::CallbackInfo&) { fd_.reset(); }

  Napi::Value dispose(const Napi::CallbackInfo& info) { return run_async(info.Env(), closing()); }

  std::function<void()> closing() {
    return [fd = std::move(fd_), afterwards = afterwards_]() mutable { fd.reset(); };
  }

  const Environment::Afterwards afterwards_;
  std::shared_ptr<Fd> fd_;
};

Napi::Value adopt_fd(const Napi::CallbackInfo& info) {
  const auto number = static_cast<int>(integer_argument(info[0], "fd", 0, std::numeric_limits<int>::max()));
  const int flags = ::fcntl(number, F_GETFD);
  if (flags < 0) {
    Error error("ERR_CUDA_IPC_INVALID_ARGUMENT", "Expected an open file descriptor for fd, but received " +
                                                     std::to_string(number) + ", which is not open");
    error.system_errno = errno;
    throw error;
  }
  if (::fcntl(number, F_SETFD, flags | FD_CLOEXEC) != 0)
    throw_system_error(errno, "setting close-on-exec on a file descriptor");
  return wrap_fd(info.Env(), Fd(number));
}

Napi::Value create_memfd(const Napi::CallbackInfo& info) {
  const std::string name = string_argument(info[0], "name");
  const size_t bytes = bytes_argument(info[1], "bytes");
  // The name is for /proc/PID/fd alone, and the kernel takes 249 bytes of it.
  Fd fd(::memfd_create(name.substr(0, 249).c_str(), MFD_CLOEXEC));
  if (!fd || ::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0)
    throw_system_error(errno, "making a file of " + std::to_string(bytes) + " bytes in memory");
  return wrap_fd(info.Env(), std::move(fd));
}

Napi::Value create_sealed_memfd(const Napi::CallbackInfo& info) {
  const std::string name = string_argument(info[0], "name");
  const ViewBytes content = view_argument(info[1], "content");
  Fd fd(::memfd_create(name.substr(0, 249).c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const std::string doing = "making a file of " + std::to_string(content.length) + " bytes in memory";
  if (!fd) throw_system_error(errno, doing);
  for (size_t done = 0; done < content.length;) {
    const ssize_t written = ::write(fd.get(), content.data + done, content.length - done);
    if (written < 0 && errno != EINTR) throw_system_error(errno, doing);
    if (written > 0) done += static_cast<size_t>(written);
  }
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
    throw_system_error(errno, doing);
  return wrap_fd(info.Env(), std::move(fd));
}

}  // namespace

std::shared_ptr<Fd> share_fd(Napi::Value value) {
  const NativeFd* const wrapped = unwrap_tagged<NativeFd>(value, NativeFd::kTag);
  if (wrapped == nullptr) invalid_argument("fd", "a NativeFd", value);
  if (!wrapped->open()) throw Error("ERR_CUDA_IPC_CLOSED", "This file descriptor has been closed already");
  return wrapped->fd();
}

Fd& unwrap_fd(Napi::Value value) {
  return *share_fd(value);
}

void close_fd(Napi::Value value) {
  unwrap_tagged<NativeFd>(value, NativeFd::kTag)->let_go();
}

Napi::Value wrap_fd(Napi::Env env, Fd fd) {
  const Napi::Object object = Environment::of(env).constructor_of(&NativeFd::kTag).New({});
  NativeFd::Unwrap(object)->hold(std::move(fd));
  return object;
}

void export_fd(Napi::Env env, Napi::Object exports) {
  NativeFd::define(env);
  exports["adoptFd"] = Napi::Function::New<checked<adopt_fd>>(env, "adoptFd");
  exports["createMemfd"] = Napi::Function::New<checked<create_memfd>>(env, "createMemfd");
  exports["createSealedMemfd"] = Napi::Function::New<checked<create_sealed_memfd>>(env, "createSealedMemfd");
}

}  // namespace cuda_ipc
