// Slabs and mappings as JavaScript objects.
#pragma once

#include <napi.h>

#include <memory>

#include "addon/resource_wrap.h"
#include "memory/mapping_table.h"
#include "memory/open_slab.h"
#include "memory/slab.h"

namespace cuda_ipc {

// A slab that is let go of only when this process's work on its device is done.
class HeldSlab {
 public:
  explicit HeldSlab(std::unique_ptr<Slab> slab) : slab_(std::move(slab)) {}
  HeldSlab(const HeldSlab&) = delete;
  HeldSlab& operator=(const HeldSlab&) = delete;
  ~HeldSlab();

  const Slab& get() const { return *slab_; }

 private:
  std::unique_ptr<Slab> slab_;
};

// A reference on a mapping that is dropped only when the work that may use it is done.
class HeldMapping {
 public:
  HeldMapping(int device, MappingTable::Reference reference, Environment::Afterwards afterwards)
      : device_(device), afterwards_(std::move(afterwards)), reference_(std::move(reference)) {}
  HeldMapping(const HeldMapping&) = delete;
  HeldMapping& operator=(const HeldMapping&) = delete;
  // Waits for all of this process's work on the device, unless the caller has waited for what matters.
  ~HeldMapping();

  int device() const { return device_; }
  const SharedMemory& get() const { return *reference_; }
  void waited() { waited_ = true; }

 private:
  int device_;
  bool waited_ = false;
  Environment::Afterwards afterwards_;  // let go of when the reference has been
  MappingTable::Reference reference_;
};

// "read" or "readwrite".
Access access_argument(Napi::Value value);
// { id, uuid, bytes, access, fd?, handle? }. The descriptor is duplicated.
SlabSource slab_source_argument(Napi::Value value);

class NativeSlab : public ResourceWrap<NativeSlab, HeldSlab> {
 public:
  static constexpr napi_type_tag kTag = {0x1b2f6a94c0d84e73, 0x8e57d1a36cf0429b};
  static constexpr const char* kName = "NativeSlab";
  using ResourceWrap::ResourceWrap;
  static void define_class(Napi::Env env);
  static Napi::Object create(Napi::Env env, std::shared_ptr<HeldSlab> slab);

 private:
  Napi::Value device_pointer(const Napi::CallbackInfo& info);
  Napi::Value bytes(const Napi::CallbackInfo& info);
  Napi::Value handle(const Napi::CallbackInfo& info);
  Napi::Value export_fd(const Napi::CallbackInfo& info);

  size_t bytes_ = 0;
};

class NativeMapping : public ResourceWrap<NativeMapping, HeldMapping> {
 public:
  static constexpr napi_type_tag kTag = {0xa6e3094bd7124f5c, 0xb1c8f25e7d03964a};
  static constexpr const char* kName = "NativeMapping";
  using ResourceWrap::ResourceWrap;
  static void define_class(Napi::Env env);
  static Napi::Object create(Napi::Env env, std::shared_ptr<HeldMapping> mapping);

 private:
  Napi::Value device(const Napi::CallbackInfo& info);
  Napi::Value device_pointer(const Napi::CallbackInfo& info);
  Napi::Value bytes(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  int device_ = -1;
  size_t bytes_ = 0;
};

}  // namespace cuda_ipc
