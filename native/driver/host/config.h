// What the environment says about the "machine", and which of its devices this process sees.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "driver/types.h"

namespace cuda_ipc::host {

struct Device {
  int index;  // on the machine, whatever is visible
  size_t memory;
  cu::CUuuid uuid;
};

struct Config {
  uint64_t scope = 0;
  std::vector<Device> devices;  // the visible ones, by ordinal
  bool vmm = true;              // whether memory is shared as file descriptors
};

// Throws std::invalid_argument.
Config read_config();

// The part of CUDA_VISIBLE_DEVICES that is `text`, applied to the devices of the machine.
std::vector<Device> visible_devices(const std::vector<Device>& all, const std::string& text);

// "GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
std::string uuid_text(const cu::CUuuid& uuid);

}  // namespace cuda_ipc::host
