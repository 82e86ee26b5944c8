// Devices and their primary contexts.
#include <cstdlib>

#include "driver/diagnosis.h"
#include "driver/driver.h"
#include "driver/state.h"

namespace cuda_ipc {

namespace {

// The driver says "unavailable" for a device that its compute mode keeps from this process.
[[noreturn]] void throw_context_error(const DriverState& state, const DeviceSlot& slot, cu::CUresult result) {
  constexpr const char* kCall = "cuDevicePrimaryCtxRetain";
  int mode = cu::CU_COMPUTEMODE_DEFAULT;
  const bool known = state.table->cuDeviceGetAttribute(&mode, cu::CU_DEVICE_ATTRIBUTE_COMPUTE_MODE,
                                                       slot.device) == cu::CUDA_SUCCESS;
  if (result == cu::CUDA_ERROR_DEVICE_UNAVAILABLE && known && mode != cu::CU_COMPUTEMODE_DEFAULT) {
    const std::string advice = mode == cu::CU_COMPUTEMODE_PROHIBITED
                                   ? "Its compute mode is \"prohibited\": no process may use it."
                                   : "Its compute mode is \"exclusive process\" and another process has it: "
                                     "one copy of the weights cannot be shared there, except through MPS.";
    throw diagnose(state.table, result, kCall, "ERR_CUDA_IPC_COMPUTE_MODE",
                   advice + " An administrator changes that with nvidia-smi -c DEFAULT.");
  }
  throw diagnose(state.table, result, kCall);
}

std::atomic<void (*)(int)> context_up_hook{nullptr};

// Whether it was this call that did.
bool retain_context(const DriverState& state, DeviceSlot& slot) {
  std::lock_guard<std::mutex> lock(slot.bringing_up);
  if (slot.context.load(std::memory_order_acquire) != nullptr) return false;
  cu::CUcontext context = nullptr;
  const cu::CUresult result = state.table->cuDevicePrimaryCtxRetain(&context, slot.device);
  if (result != cu::CUDA_SUCCESS) throw_context_error(state, slot, result);
  slot.context.store(context, std::memory_order_release);
  return true;
}

cu::CUcontext bring_up_context(const DriverState& state, DeviceSlot& slot, int ordinal) {
  if (retain_context(state, slot))
    if (void (*const hook)(int) = context_up_hook.load()) hook(ordinal);
  return slot.context.load(std::memory_order_acquire);
}

}  // namespace

DeviceSlot& DriverState::device(int ordinal) const {
  if (ordinal >= 0 && ordinal < device_count) return devices[ordinal];
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  std::string message = "There is no device " + std::to_string(ordinal) + ": this process sees " +
                        std::to_string(device_count) + " of them, counted from 0.";
  if (provider == Provider::kLibcuda && visible != nullptr)
    message += std::string(" CUDA_VISIBLE_DEVICES is \"") + visible + "\".";
  throw Error("ERR_CUDA_IPC_INVALID_DEVICE", message);
}

ContextScope::ContextScope(int ordinal) {
  const DriverState& state = driver_state();
  DeviceSlot& slot = state.device(ordinal);
  cu::CUcontext context = slot.context.load(std::memory_order_acquire);
  if (context == nullptr) context = bring_up_context(state, slot, ordinal);
  const cu::CUresult result = state.table->cuCtxPushCurrent(context);
  if (result != cu::CUDA_SUCCESS) throw diagnose(state.table, result, "cuCtxPushCurrent");
}

ContextScope::~ContextScope() {
  const DriverState* state = driver_state_if_up();
  if (state == nullptr || process_is_exiting()) return;
  cu::CUcontext popped = nullptr;
  state->table->cuCtxPopCurrent(&popped);
}

void on_context_up(void (*hook)(int ordinal)) {
  context_up_hook.store(hook);
}

bool context_is_up(int ordinal) {
  const DriverState* state = driver_state_if_up();
  return state != nullptr && ordinal >= 0 && ordinal < state->device_count &&
         state->devices[ordinal].context.load(std::memory_order_acquire) != nullptr;
}

std::string device_uuid(int ordinal) {
  const DriverState& state = driver_state();
  const DeviceSlot& slot = state.device(ordinal);
  std::string uuid = slot.uuid;
  const cu::CUresult result = uuid.empty() ? read_uuid(*state.table, slot.device, uuid) : cu::CUDA_SUCCESS;
  if (result != cu::CUDA_SUCCESS) throw diagnose(state.table, result, "cuDeviceGetUuid");
  return uuid;
}

std::optional<int> find_device(const std::string& uuid) {
  const DriverState& state = driver_state();
  for (int ordinal = 0; ordinal < state.device_count; ++ordinal) {
    const DeviceSlot& slot = state.devices[ordinal];
    std::string its = slot.uuid;
    if (its.empty()) read_uuid(*state.table, slot.device, its);
    if (!uuid.empty() && its == uuid) return ordinal;
  }
  return std::nullopt;
}

}  // namespace cuda_ipc
