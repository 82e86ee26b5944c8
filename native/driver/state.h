// What driver() has brought up: shared by the files of native/driver/ and by destructors, nothing else.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "driver/driver.h"

namespace cuda_ipc {

// One device of this process. Everything but the context is set once, before the state is published.
struct DeviceSlot {
  cu::CUdevice device = 0;
  cu::CUresult uuid_result = cu::CUDA_SUCCESS;  // of the attempt to learn the UUID: a lost device has none
  std::string uuid;
  std::mutex bringing_up;
  std::atomic<cu::CUcontext> context{nullptr};
};

struct DriverState {
  const cu::Table* table;
  Provider provider;
  int device_count;
  std::unique_ptr<DeviceSlot[]> devices;

  DeviceSlot& device(int ordinal) const;  // throws Error: ERR_CUDA_IPC_INVALID_DEVICE
};

// As driver(): loads on first use, throws Error.
const DriverState& driver_state();
// Null while the driver is not up, and in a natively forked child. Never loads, never throws.
const DriverState* driver_state_if_up() noexcept;

}  // namespace cuda_ipc
