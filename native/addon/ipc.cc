// The raw CUDA IPC calls on memory; those on events are in event.cc.
#include "addon/arguments.h"
#include "addon/async.h"
#include "addon/exports.h"
#include "addon/pointer.h"
#include "addon/undelivered.h"
#include "memory/ipc_table.h"

namespace cuda_ipc {

namespace {

// A handle names the whole allocation: exported from the middle of it, the offset would be lost without a
// word.
void require_base(cu::CUdeviceptr pointer) {
  const AddressRange range = address_range(pointer);
  if (range.base == pointer) return;
  Error error(
      "ERR_CUDA_IPC_INTERIOR_POINTER",
      "The pointer lies " + std::to_string(pointer - range.base) + " bytes into an allocation of " +
          std::to_string(range.bytes) +
          ", and a CUDA IPC handle names a whole allocation. shareable() gives the handle and the offset.");
  error.details = {{"offset", pointer - range.base}, {"bytes", range.bytes}};
  throw error;
}

Napi::Value get_mem_handle(const Napi::CallbackInfo& info) {
  const int device = device_argument(info[0]);
  const cu::CUdeviceptr pointer = pointer_argument(info[1], "pointer");
  return run_async(
      info.Env(),
      [=] {
        const ContextScope scope(device);
        require_base(pointer);
        cu::CUipcMemHandle handle{};
        CUDA_IPC_CHECK(cuIpcGetMemHandle(&handle, pointer));
        return handle;
      },
      [](Napi::Env env, cu::CUipcMemHandle& handle) -> Napi::Value {
        return Napi::Buffer<char>::Copy(env, handle.reserved, sizeof(handle.reserved));
      });
}

Napi::Value open_mem_handle(const Napi::CallbackInfo& info) {
  const int device = device_argument(info[0]);
  const auto handle = struct_argument<cu::CUipcMemHandle>(info[1], "handle");
  return run_async(
      info.Env(),
      [=] {
        return Undelivered(RawIpcTable::process().open(handle, device),
                           [](cu::CUdeviceptr pointer) { RawIpcTable::process().close(pointer); });
      },
      [](Napi::Env env, auto& memory) -> Napi::Value { return memory.deliver(env); });
}

Napi::Value close_mem_handle(const Napi::CallbackInfo& info) {
  const cu::CUdeviceptr pointer = pointer_argument(info[0], "pointer");
  return run_async(info.Env(), [=] { RawIpcTable::process().close(pointer); });
}

}  // namespace

void export_ipc(Napi::Env env, Napi::Object exports) {
  exports["ipcGetMemHandle"] = Napi::Function::New<checked<get_mem_handle>>(env, "ipcGetMemHandle");
  exports["ipcOpenMemHandle"] = Napi::Function::New<checked<open_mem_handle>>(env, "ipcOpenMemHandle");
  exports["ipcCloseMemHandle"] = Napi::Function::New<checked<close_mem_handle>>(env, "ipcCloseMemHandle");
}

}  // namespace cuda_ipc
