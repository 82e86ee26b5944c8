// Providers and devices.
#include <napi.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "addon/arguments.h"
#include "addon/async.h"
#include "addon/environment.h"
#include "addon/exports.h"
#include "driver/driver.h"

namespace cuda_ipc {

namespace {

struct DeviceFacts {
  std::string uuid;
  std::string name;
  size_t total_bytes = 0;
  int capability_major = 0;
  int capability_minor = 0;
  std::string pci_bus_id;
  int multiprocessors = 0;
  int compute_mode = cu::CU_COMPUTEMODE_DEFAULT;
  bool vmm = false;
};

int attribute(cu::CUdevice device, cu::CUdevice_attribute which) {
  int value = 0;
  CUDA_IPC_CHECK(cuDeviceGetAttribute(&value, which, device));
  return value;
}

// Needs no context, so it brings none up.
DeviceFacts device_facts(int ordinal) {
  DeviceFacts facts;
  cu::CUdevice device = 0;
  CUDA_IPC_CHECK(cuDeviceGet(&device, ordinal));
  facts.uuid = device_uuid(ordinal);
  char text[256] = "";
  CUDA_IPC_CHECK(cuDeviceGetName(text, sizeof text, device));
  facts.name = text;
  CUDA_IPC_CHECK(cuDeviceTotalMem(&facts.total_bytes, device));
  CUDA_IPC_CHECK(cuDeviceGetPCIBusId(text, sizeof text, device));
  facts.pci_bus_id = text;
  facts.capability_major = attribute(device, cu::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
  facts.capability_minor = attribute(device, cu::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  facts.multiprocessors = attribute(device, cu::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
  facts.compute_mode = attribute(device, cu::CU_DEVICE_ATTRIBUTE_COMPUTE_MODE);
  facts.vmm = attribute(device, cu::CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED) != 0 &&
              attribute(device, cu::CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED) != 0;
  return facts;
}

const char* compute_mode_name(int mode) {
  if (mode == cu::CU_COMPUTEMODE_PROHIBITED) return "prohibited";
  return mode == cu::CU_COMPUTEMODE_EXCLUSIVE_PROCESS ? "exclusive-process" : "default";
}

Napi::Object to_javascript(Napi::Env env, int ordinal, const DeviceFacts& facts) {
  Napi::Object object = Napi::Object::New(env);
  object["ordinal"] = ordinal;
  object["uuid"] = facts.uuid;
  object["name"] = facts.name;
  object["totalBytes"] = static_cast<double>(facts.total_bytes);
  Napi::Array capability = Napi::Array::New(env, 2);
  capability[0u] = facts.capability_major;
  capability[1u] = facts.capability_minor;
  object["computeCapability"] = capability;
  object["pciBusId"] = facts.pci_bus_id;
  object["multiprocessors"] = facts.multiprocessors;
  object["computeMode"] = compute_mode_name(facts.compute_mode);
  object["vmm"] = Napi::Boolean::New(env, facts.vmm);
  return object;
}

class NativeProviderPin : public Napi::ObjectWrap<NativeProviderPin> {
 public:
  static constexpr char kKey = 0;
  using Napi::ObjectWrap<NativeProviderPin>::ObjectWrap;

  static void define(Napi::Env env) {
    Environment::of(env).constructor_of(&kKey) =
        Napi::Persistent(DefineClass(env, "NativeProviderPin",
                                     {InstanceMethod<&NativeProviderPin::keep>("keep"),
                                      InstanceMethod<&NativeProviderPin::close>("close")}));
  }

  static Napi::Value create(Napi::Env env, std::unique_ptr<ProviderPin> pin) {
    const Napi::Object object = Environment::of(env).constructor_of(&kKey).New({});
    Unwrap(object)->pin_ = std::move(pin);
    return object;
  }

 private:
  void keep(const Napi::CallbackInfo&) {
    if (pin_) pin_->keep();
  }
  void close(const Napi::CallbackInfo&) { pin_.reset(); }

  std::unique_ptr<ProviderPin> pin_;
};

Napi::Value pin(const Napi::CallbackInfo& info) {
  auto pinned = std::make_unique<ProviderPin>(is_absent(info[0]) ? "" : string_argument(info[0], "driver"));
  return NativeProviderPin::create(info.Env(), std::move(pinned));
}

Napi::Value chosen(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), provider_name(chosen_provider()));
}

Napi::Value is_up(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), driver_is_up());
}

Napi::Value version(const Napi::CallbackInfo& info) {
  return run_async(
      info.Env(),
      [] {
        int number = 0;
        CUDA_IPC_CHECK(cuDriverGetVersion(&number));
        return number;
      },
      [](Napi::Env env, int& number) -> Napi::Value { return Napi::Number::New(env, number); });
}

Napi::Value devices(const Napi::CallbackInfo& info) {
  return run_async(
      info.Env(),
      [] {
        int count = 0;
        CUDA_IPC_CHECK(cuDeviceGetCount(&count));
        std::vector<DeviceFacts> all;
        for (int ordinal = 0; ordinal < count; ++ordinal) all.push_back(device_facts(ordinal));
        return all;
      },
      [](Napi::Env env, std::vector<DeviceFacts>& all) -> Napi::Value {
        Napi::Array array = Napi::Array::New(env, all.size());
        for (uint32_t i = 0; i < all.size(); ++i) array[i] = to_javascript(env, static_cast<int>(i), all[i]);
        return array;
      });
}

Napi::Value ordinal_value(Napi::Env env, std::optional<int> ordinal) {
  return ordinal ? Napi::Number::New(env, *ordinal) : env.Undefined();
}

Napi::Value find(const Napi::CallbackInfo& info) {
  const std::string uuid = string_argument(info[0], "uuid");
  if (driver_is_up()) {  // then it is known, and not worth a trip to another thread
    auto deferred = Napi::Promise::Deferred::New(info.Env());
    deferred.Resolve(ordinal_value(info.Env(), find_device(uuid)));
    return deferred.Promise();
  }
  return run_async(
      info.Env(), [uuid] { return find_device(uuid); },
      [](Napi::Env env, std::optional<int>& ordinal) { return ordinal_value(env, ordinal); });
}

Napi::Value initialize(const Napi::CallbackInfo& info) {
  return run_async(info.Env(), [device = device_argument(info[0])] { ContextScope scope(device); });
}

Napi::Value memory_info(const Napi::CallbackInfo& info) {
  struct Bytes {
    size_t free = 0;
    size_t total = 0;
  };
  return run_async(
      info.Env(),
      [device = device_argument(info[0])] {
        ContextScope scope(device);
        Bytes bytes;
        CUDA_IPC_CHECK(cuMemGetInfo(&bytes.free, &bytes.total));
        return bytes;
      },
      [](Napi::Env env, Bytes& bytes) -> Napi::Value {
        Napi::Object object = Napi::Object::New(env);
        object["freeBytes"] = static_cast<double>(bytes.free);
        object["totalBytes"] = static_cast<double>(bytes.total);
        return object;
      });
}

Napi::Value synchronize(const Napi::CallbackInfo& info) {
  return run_async(info.Env(), [device = device_argument(info[0])] {
    ContextScope scope(device);
    CUDA_IPC_CHECK(cuCtxSynchronize());
  });
}

// When the main thread's environment goes down, so does the process: nothing it still holds is given back
// call by call, because the kernel does that at once. A worker_thread's end is no such thing. Hooks run
// newest first, so this one comes before Environment's own.
void watch_for_exit(Napi::Env env) {
  if (::gettid() != ::getpid()) return;
  napi_add_env_cleanup_hook(
      env, [](void*) { note_process_exiting(); }, nullptr);
}

}  // namespace

void export_device(Napi::Env env, Napi::Object exports) {
  watch_for_exit(env);
  NativeProviderPin::define(env);
  exports["pinProvider"] = Napi::Function::New<checked<pin>>(env, "pinProvider");
  exports["chosenProvider"] = Napi::Function::New<checked<chosen>>(env, "chosenProvider");
  exports["driverIsUp"] = Napi::Function::New<checked<is_up>>(env, "driverIsUp");
  exports["driverVersion"] = Napi::Function::New<checked<version>>(env, "driverVersion");
  exports["devices"] = Napi::Function::New<checked<devices>>(env, "devices");
  exports["findDevice"] = Napi::Function::New<checked<find>>(env, "findDevice");
  exports["initializeDevice"] = Napi::Function::New<checked<initialize>>(env, "initializeDevice");
  exports["memoryInfo"] = Napi::Function::New<checked<memory_info>>(env, "memoryInfo");
  exports["synchronizeDevice"] = Napi::Function::New<checked<synchronize>>(env, "synchronizeDevice");
}

}  // namespace cuda_ipc
