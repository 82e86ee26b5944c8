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
  std::string uuid;  // empty when the driver did not tell, as of a device that is lost: ask it again
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

// As device_uuid() gives it.
cu::CUresult read_uuid(const cu::Table& table, cu::CUdevice device, std::string& uuid);

// As driver(): loads on first use, throws Error.
const DriverState& driver_state();
// Null while the driver is not up, and in a natively forked child. Never loads, never throws.
const DriverState* driver_state_if_up() noexcept;

}  // namespace cuda_ipc
