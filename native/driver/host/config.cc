#include "driver/host/config.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "driver/host/system.h"

namespace cuda_ipc::host {
namespace {

constexpr unsigned long long kMaxDevices = 64;
constexpr unsigned long long kMaxMemory = 1ull << 46;

unsigned long long read_size(const char* name, unsigned long long otherwise, unsigned long long most) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == 0) return otherwise;
  char* end = nullptr;
  unsigned long long value = std::strtoull(text, &end, 10);
  unsigned long long unit = 1;
  if (*end == 'K' || *end == 'k') unit = 1ull << 10;
  if (*end == 'M' || *end == 'm') unit = 1ull << 20;
  if (*end == 'G' || *end == 'g') unit = 1ull << 30;
  if (unit != 1) end++;
  if (*text < '0' || *text > '9' || *end != 0 || value > most / unit)
    throw std::invalid_argument(std::string(name) + "=" + text + ": expected a number up to " +
                                std::to_string(most) + ", with K, M or G after it or not");
  return value * unit;
}

cu::CUuuid make_uuid(uint64_t scope, int index) {
  cu::CUuuid uuid;
  for (int half = 0; half < 2; half++) {
    const uint64_t key[3] = {scope, static_cast<uint64_t>(index), static_cast<uint64_t>(half)};
    const uint64_t bits = hash(key, sizeof(key));
    std::memcpy(uuid.bytes + 8 * half, &bits, 8);
  }
  return uuid;
}

// The device that one entry names; null when it names none, or more than one.
const Device* find_visible(const std::vector<Device>& all, const std::string& entry, bool by_uuid) {
  if (!by_uuid) {
    char* end = nullptr;
    const long ordinal = std::strtol(entry.c_str(), &end, 10);  // like CUDA, "1x" is 1
    if (end == entry.c_str() || ordinal < 0 || ordinal >= static_cast<long>(all.size())) return nullptr;
    return &all[static_cast<size_t>(ordinal)];
  }
  const Device* found = nullptr;
  for (const Device& device : all) {
    if (entry.size() < 5 || uuid_text(device.uuid).compare(0, entry.size(), entry) != 0) continue;
    if (found != nullptr) return nullptr;
    found = &device;
  }
  return found;
}

}  // namespace

std::string uuid_text(const cu::CUuuid& uuid) {
  std::string text = "GPU-";
  for (int i = 0; i < 16; i++) {
    char digits[3];
    std::snprintf(digits, sizeof(digits), "%02x", static_cast<unsigned char>(uuid.bytes[i]));
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += digits;
  }
  return text;
}

std::vector<Device> visible_devices(const std::vector<Device>& all, const std::string& text) {
  std::vector<Device> visible;
  const bool by_uuid = text.compare(0, 4, "GPU-") == 0;
  for (size_t start = 0; start <= text.size();) {
    const size_t end = std::min(text.find(',', start), text.size());
    std::string entry = text.substr(start, end - start);
    entry.erase(0, entry.find_first_not_of(' '));
    entry.erase(entry.find_last_not_of(' ') + 1);
    const Device* device = find_visible(all, entry, by_uuid);
    if (device == nullptr) break;
    for (const Device& other : visible)
      if (other.index == device->index) return {};  // a device named twice hides all of them
    visible.push_back(*device);
    start = end + 1;
  }
  return visible;
}

Config read_config() {
  Config config;
  const char* scope = std::getenv("CUDA_IPC_HOST_SCOPE");
  const std::string name =
      scope != nullptr && *scope != 0 ? std::string("scope ") + scope : "uid " + std::to_string(geteuid());
  config.scope = hash(name.data(), name.size());

  const auto count = read_size("CUDA_IPC_HOST_DEVICES", 2, kMaxDevices);
  const auto memory = read_size("CUDA_IPC_HOST_MEMORY", 8ull << 30, kMaxMemory);
  for (int index = 0; index < static_cast<int>(count); index++)
    config.devices.push_back({index, memory, make_uuid(config.scope, index)});
  config.vmm = read_size("CUDA_IPC_HOST_VMM", 1, 1) != 0;
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES"))
    config.devices = visible_devices(config.devices, visible);
  return config;
}

}  // namespace cuda_ipc::host
