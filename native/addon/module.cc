#include "addon/module.h"

#include <cstring>
#include <vector>

#include "addon/exports.h"
#include "addon/kernel_arguments.h"
#include "addon/unwrap.h"
#include "kernels/builtin.h"
#include "memory/undo.h"

namespace cuda_ipc {

OwnedModule::OwnedModule(int device, const char* image) : device_(device) {
  const ContextScope scope(device_);
  CUDA_IPC_CHECK(cuModuleLoadData(&module_, image));
}

std::shared_ptr<OwnedModule> OwnedModule::builtin(int device) {
  return std::shared_ptr<OwnedModule>(new OwnedModule(device, builtin_kernels(device).module()));
}

OwnedModule::~OwnedModule() {
  if (borrowed_) return;
  undo(device_, [this](const cu::Table& table) { table.cuModuleUnload(module_); });
}

KernelFunction::KernelFunction(const std::shared_ptr<OwnedModule>& module, const std::string& name)
    : module_(module) {
  const ContextScope scope(module->device());
  CUDA_IPC_CHECK(cuModuleGetFunction(&function_, module->get(), name.c_str()));
}

std::shared_ptr<OwnedModule> KernelFunction::module() const {
  auto module = module_.lock();
  if (!module) throw Error("ERR_CUDA_IPC_CLOSED", "The kernel's module has been unloaded");
  return module;
}

void NativeModule::define_class(Napi::Env env) {
  define(env, {getter<&NativeModule::device>("device"), method<&NativeModule::function>("function"),
               destroyer("unload")});
}

Napi::Value NativeModule::device(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), resource()->device());
}

// On the pool: a driver that loads lazily loads the kernel now.
Napi::Value NativeModule::function(const Napi::CallbackInfo& info) {
  return run_async(
      info.Env(),
      [module = resource(), name = string_argument(info[0], "name")] {
        return std::make_shared<KernelFunction>(module, name);
      },
      [](Napi::Env env, std::shared_ptr<KernelFunction>& function) -> Napi::Value {
        return NativeFunction::create(env, std::move(function));
      });
}

void NativeFunction::define_class(Napi::Env env) {
  define(env, {method<&NativeFunction::launch>("launch")});
}

// launch(gridX, gridY, gridZ, blockX, blockY, blockZ, sharedBytes, stream, args), on the event loop: with the
// module loaded and the context up it only enqueues.
Napi::Value NativeFunction::launch(const Napi::CallbackInfo& info) {
  static constexpr const char* kNames[] = {"grid.x",  "grid.y",  "grid.z",     "block.x",
                                           "block.y", "block.z", "sharedBytes"};
  unsigned shape[7];
  for (size_t i = 0; i < 7; ++i)
    shape[i] = static_cast<unsigned>(integer_argument(info[i], kNames[i], i < 6 ? 1 : 0, 0x7fffffff));
  const auto module = resource()->module();
  const auto stream = stream_argument(info[7], "stream", module->device());
  KernelArguments arguments(info[8]);
  const ContextScope scope(module->device());
  CUDA_IPC_CHECK(cuLaunchKernel(resource()->get(), shape[0], shape[1], shape[2], shape[3], shape[4], shape[5],
                                shape[6], stream ? stream->handle : nullptr, arguments.parameters(),
                                nullptr));
  return info.Env().Undefined();
}

namespace {

// `make` runs on the pool.
template <class Make>
Napi::Value load(Napi::Env env, Make make) {
  return run_async(env, std::move(make),
                   [](Napi::Env env, std::shared_ptr<OwnedModule>& module) -> Napi::Value {
                     return NativeModule::create(env, std::move(module));
                   });
}

Napi::Value load_module(const Napi::CallbackInfo& info) {
  const int device = device_argument(info[0]);
  const ViewBytes view = view_argument(info[1], "image");
  // PTX has to end in a NUL byte; other images know their own length and do not mind one.
  std::vector<char> image(view.length + 1);
  if (view.length != 0) std::memcpy(image.data(), view.data, view.length);
  return load(info.Env(), [device, image = std::move(image)] {
    return std::make_shared<OwnedModule>(device, image.data());
  });
}

Napi::Value load_builtin_module(const Napi::CallbackInfo& info) {
  const int device = device_argument(info[0]);
  return load(info.Env(), [device] { return OwnedModule::builtin(device); });
}

}  // namespace

void export_module(Napi::Env env, Napi::Object exports) {
  NativeModule::define_class(env);
  NativeFunction::define_class(env);
  exports["loadModule"] = Napi::Function::New<checked<load_module>>(env, "loadModule");
  exports["loadBuiltinModule"] = Napi::Function::New<checked<load_builtin_module>>(env, "loadBuiltinModule");
}

}  // namespace cuda_ipc
