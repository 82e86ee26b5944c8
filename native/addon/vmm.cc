#include "addon/vmm.h"

#include "addon/exports.h"
#include "addon/fd.h"
#include "addon/unwrap.h"
#include "memory/slab.h"

namespace cuda_ipc {

OwnedVmm::OwnedVmm(int device, size_t least_bytes)
    : bytes_(slab_bytes(device, least_bytes, Sharing::kVmm)),
      handle_(AllocationHandle::create(device, bytes_)) {}

OwnedVmm::OwnedVmm(int device, size_t bytes, Fd descriptor)
    : bytes_(bytes),
      descriptor_(std::move(descriptor)),
      handle_(AllocationHandle::import(device, descriptor_)) {}

OwnedVmm::~OwnedVmm() {
  // Unmapped under running work, the memory would take the whole context down with it.
  if (mapping_ && wait_) undo(device(), [](const cu::Table& table) { table.cuCtxSynchronize(); });
}

Fd OwnedVmm::export_fd() const {
  return descriptor_ ? descriptor_.duplicate() : handle_.export_fd();
}

cu::CUdeviceptr OwnedVmm::map(Access access) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (mapping_)
    throw Error(
        "ERR_CUDA_IPC_INVALID_STATE",
        "The allocation is mapped already: use its devicePointer, and setAccess() to change its access");
  AddressReservation reservation(device(), bytes_);
  Mapping mapping(reservation, handle_);
  mapping.set_access(access);
  reservation_.emplace(std::move(reservation));
  mapping_.emplace(std::move(mapping));
  pointer_ = mapping_->pointer();
  return pointer_;
}

void OwnedVmm::set_access(Access access) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!mapping_) throw Error("ERR_CUDA_IPC_INVALID_STATE", "The allocation is not mapped: call map() first");
  mapping_->set_access(access);
}

void NativeVmm::define_class(Napi::Env env) {
  define(env, {getter<&NativeVmm::device>("device"), getter<&NativeVmm::bytes>("bytes"),
               getter<&NativeVmm::device_pointer>("devicePointer"), method<&NativeVmm::export_fd>("exportFd"),
               method<&NativeVmm::map>("map"), method<&NativeVmm::set_access>("setAccess"),
               method<&NativeVmm::close>("close")});
}

Napi::Value NativeVmm::device(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), resource()->device());
}

Napi::Value NativeVmm::bytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(resource()->bytes()));
}

Napi::Value NativeVmm::device_pointer(const Napi::CallbackInfo& info) {
  return Napi::BigInt::New(info.Env(), static_cast<uint64_t>(closed() ? 0 : resource()->pointer()));
}

Napi::Value NativeVmm::export_fd(const Napi::CallbackInfo& info) {
  return wrap_fd(info.Env(), resource()->export_fd());
}

namespace {

Access access_argument(Napi::Value value) {
  const std::string access = value.IsString() ? string_argument(value, "access") : std::string();
  if (access == "read") return Access::kRead;
  if (access == "readwrite") return Access::kReadWrite;
  invalid_argument("access", "\"read\" or \"readwrite\"", value);
}

}  // namespace

Napi::Value NativeVmm::map(const Napi::CallbackInfo& info) {
  return run_async(
      info.Env(), [vmm = resource(), access = access_argument(info[0])] { return vmm->map(access); },
      [](Napi::Env env, cu::CUdeviceptr& pointer) -> Napi::Value {
        return Napi::BigInt::New(env, static_cast<uint64_t>(pointer));
      });
}

Napi::Value NativeVmm::set_access(const Napi::CallbackInfo& info) {
  return run_async(info.Env(),
                   [vmm = resource(), access = access_argument(info[0])] { vmm->set_access(access); });
}

// close(after): undefined waits for this process's work on the device, null for nothing.
Napi::Value NativeVmm::close(const Napi::CallbackInfo& info) {
  auto after = unwrap_after(info[0]);
  if (!after && !is_absent(info[0])) invalid_argument("after", "a stream, an event or null", info[0]);
  const bool wait_for_device = info[0].IsUndefined();
  return run_async(info.Env(), [vmm = take(), after = std::move(after), wait_for_device]() mutable {
    if (!vmm) return;
    if (!wait_for_device) vmm->no_work_left();
    try {
      if (after) after->wait();
    } catch (const Error&) {
      // Work that has failed is done too; whoever waits for it itself is told.
    }
    vmm.reset();
  });
}

namespace {

// `make` runs on the pool.
template <class Make>
Napi::Value make_vmm(Napi::Env env, Make make) {
  return run_async(env, std::move(make), [](Napi::Env env, std::shared_ptr<OwnedVmm>& vmm) -> Napi::Value {
    return NativeVmm::create(env, std::move(vmm));
  });
}

Napi::Value create_vmm(const Napi::CallbackInfo& info) {
  const int device = device_argument(info[0]);
  const size_t bytes = bytes_argument(info[1], "bytes", 1);
  return make_vmm(info.Env(), [=] { return std::make_shared<OwnedVmm>(device, bytes); });
}

Napi::Value import_vmm(const Napi::CallbackInfo& info) {
  const int device = device_argument(info[0]);
  const size_t bytes = bytes_argument(info[2], "bytes", 1);
  return make_vmm(info.Env(), [device, bytes, fd = unwrap_fd(info[1]).duplicate()]() mutable {
    return std::make_shared<OwnedVmm>(device, bytes, std::move(fd));
  });
}

}  // namespace

void export_vmm(Napi::Env env, Napi::Object exports) {
  NativeVmm::define_class(env);
  exports["createVmm"] = Napi::Function::New<checked<create_vmm>>(env, "createVmm");
  exports["importVmm"] = Napi::Function::New<checked<import_vmm>>(env, "importVmm");
}

}  // namespace cuda_ipc
