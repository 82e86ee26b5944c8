// A virtual-memory-management allocation as one owning JavaScript object.
#pragma once

#include <napi.h>

#include <atomic>
#include <mutex>
#include <optional>

#include "addon/resource_wrap.h"
#include "memory/allocation_handle.h"
#include "memory/mapping.h"

namespace cuda_ipc {

class OwnedVmm {
 public:
  // `least_bytes` is rounded up to the device's granularity.
  OwnedVmm(int device, size_t least_bytes);
  // `bytes`: all of the allocation.
  OwnedVmm(int device, size_t bytes, Fd descriptor);
  ~OwnedVmm();
  OwnedVmm(const OwnedVmm&) = delete;
  OwnedVmm& operator=(const OwnedVmm&) = delete;

  int device() const { return handle_.device(); }
  size_t bytes() const { return bytes_; }
  // 0 while not mapped.
  cu::CUdeviceptr pointer() const { return pointer_.load(); }

  Fd export_fd() const;
  cu::CUdeviceptr map(Access access);
  void set_access(Access access);

  // Says that whoever destroys this has waited for the work that uses the memory.
  void no_work_left() { wait_ = false; }

 private:
  // Destroyed in reverse order: mapping, reservation, allocation.
  size_t bytes_;
  Fd descriptor_;  // of an import, which the driver would not export again
  AllocationHandle handle_;
  std::mutex mutex_;
  std::optional<AddressReservation> reservation_;
  std::optional<Mapping> mapping_;
  std::atomic<cu::CUdeviceptr> pointer_{0};
  std::atomic<bool> wait_{true};
};

class NativeVmm : public ResourceWrap<NativeVmm, OwnedVmm> {
 public:
  static constexpr napi_type_tag kTag = {0x3f8e62d4a91b4075, 0xc7a0f51e6b824d05};
  static constexpr const char* kName = "NativeVmm";
  using ResourceWrap::ResourceWrap;
  static void define_class(Napi::Env env);

 private:
  Napi::Value device(const Napi::CallbackInfo& info);
  Napi::Value bytes(const Napi::CallbackInfo& info);
  Napi::Value device_pointer(const Napi::CallbackInfo& info);
  Napi::Value export_fd(const Napi::CallbackInfo& info);
  Napi::Value map(const Napi::CallbackInfo& info);
  Napi::Value set_access(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);
};

}  // namespace cuda_ipc
