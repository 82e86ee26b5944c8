// What the driver knows about a pointer.
#include "addon/pointer.h"

#include "addon/arguments.h"
#include "addon/async.h"
#include "addon/exports.h"

namespace cuda_ipc {

namespace {

constexpr unsigned kHostMemory = 1;  // CU_MEMORYTYPE_HOST

struct PointerFacts {
  const char* type = "unregistered";
  int device = 0;
  AddressRange range{};
  std::string uuid;
};

PointerFacts pointer_facts(int device, cu::CUdeviceptr pointer) {
  const ContextScope scope(device);
  PointerFacts facts;
  unsigned kind = 0;
  const cu::CUresult known =
      driver().cuPointerGetAttribute(&kind, cu::CU_POINTER_ATTRIBUTE_MEMORY_TYPE, pointer);
  // As the runtime API has it: a pointer that CUDA does not know is no error.
  if (known == cu::CUDA_ERROR_INVALID_VALUE) return facts;
  if (known != cu::CUDA_SUCCESS) throw_cuda_error(known, "cuPointerGetAttribute");
  unsigned managed = 0;
  CUDA_IPC_CHECK(cuPointerGetAttribute(&managed, cu::CU_POINTER_ATTRIBUTE_IS_MANAGED, pointer));
  facts.type = managed != 0 ? "managed" : kind == kHostMemory ? "host" : "device";
  CUDA_IPC_CHECK(cuPointerGetAttribute(&facts.device, cu::CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, pointer));
  if (facts.device < 0) facts.device = device;
  facts.range = address_range(pointer);
  facts.uuid = device_uuid(facts.device);
  return facts;
}

Napi::Value pointer_attributes(const Napi::CallbackInfo& info) {
  const int device = device_argument(info[0]);
  const cu::CUdeviceptr pointer = pointer_argument(info[1], "pointer");
  return run_async(
      info.Env(), [=] { return pointer_facts(device, pointer); },
      [pointer](Napi::Env env, PointerFacts& facts) -> Napi::Value {
        Napi::Object result = Napi::Object::New(env);
        const bool known = facts.range.base != 0;
        result["type"] = facts.type;
        result["device"] = facts.device;
        result["deviceUuid"] = facts.uuid;
        result["base"] = Napi::BigInt::New(env, static_cast<uint64_t>(facts.range.base));
        result["offset"] = known ? static_cast<double>(pointer - facts.range.base) : 0.0;
        result["bytes"] = static_cast<double>(facts.range.bytes);
        return result;
      });
}

}  // namespace

AddressRange address_range(cu::CUdeviceptr pointer) {
  AddressRange range{};
  CUDA_IPC_CHECK(cuMemGetAddressRange(&range.base, &range.bytes, pointer));
  return range;
}

void export_pointer_attributes(Napi::Env env, Napi::Object exports) {
  exports["pointerAttributes"] = Napi::Function::New<checked<pointer_attributes>>(env, "pointerAttributes");
}

}  // namespace cuda_ipc
