// Modules of kernels as JavaScript objects.
#pragma once

#include <napi.h>

#include <memory>
#include <string>

#include "addon/resource_wrap.h"
#include "driver/driver.h"

namespace cuda_ipc {

// Its one undo call is cuModuleUnload.
class OwnedModule {
 public:
  // `image`: PTX text ending in a NUL byte, a cubin or a fatbin.
  OwnedModule(int device, const char* image);
  // The kernels that come with the addon: one module per process, never unloaded.
  static std::shared_ptr<OwnedModule> builtin(int device);
  ~OwnedModule();
  OwnedModule(const OwnedModule&) = delete;
  OwnedModule& operator=(const OwnedModule&) = delete;

  cu::CUmodule get() const { return module_; }
  int device() const { return device_; }

 private:
  OwnedModule(int device, cu::CUmodule borrowed) : device_(device), module_(borrowed), borrowed_(true) {}

  int device_;
  cu::CUmodule module_ = nullptr;
  bool borrowed_ = false;
};

// A kernel. There is nothing to undo: it goes with its module.
class KernelFunction {
 public:
  KernelFunction(const std::shared_ptr<OwnedModule>& module, const std::string& name);

  cu::CUfunction get() const { return function_; }
  // Holds the module for the length of a launch. Throws Error (ERR_CUDA_IPC_CLOSED) once it is unloaded.
  std::shared_ptr<OwnedModule> module() const;

 private:
  std::weak_ptr<OwnedModule> module_;
  cu::CUfunction function_ = nullptr;
};

class NativeModule : public ResourceWrap<NativeModule, OwnedModule> {
 public:
  static constexpr napi_type_tag kTag = {0x94f60b1de85a4c37, 0xa5e2790c1d3f4b03};
  static constexpr const char* kName = "NativeModule";
  using ResourceWrap::ResourceWrap;
  static void define_class(Napi::Env env);

 private:
  Napi::Value device(const Napi::CallbackInfo& info);
  Napi::Value function(const Napi::CallbackInfo& info);
};

class NativeFunction : public ResourceWrap<NativeFunction, KernelFunction> {
 public:
  static constexpr napi_type_tag kTag = {0xe01c5a97f2d64b8e, 0xb6d83e41527f0c04};
  static constexpr const char* kName = "NativeFunction";
  using ResourceWrap::ResourceWrap;
  static void define_class(Napi::Env env);

 private:
  Napi::Value launch(const Napi::CallbackInfo& info);
};

}  // namespace cuda_ipc
