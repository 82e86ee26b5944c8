#include "driver/host/memory_table.h"

#include <algorithm>

#include "driver/host/state.h"

namespace cuda_ipc::host {

CUmemAccess_flags Region::widest_access() const {
  return access.empty() ? CU_MEM_ACCESS_FLAGS_PROT_NONE : *std::max_element(access.begin(), access.end());
}

Pins::~Pins() {
  if (regions_.empty()) return;
  MemoryTable& table = state().memory;
  const std::lock_guard<std::mutex> lock(table.mutex_);
  for (const auto& region : regions_) region->pins_--;
  table.unpinned_.notify_all();
}

void MemoryTable::add(Region region) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const uintptr_t base = region.base;
  regions_.insert_or_assign(base, std::make_shared<Region>(std::move(region)));
}

std::shared_ptr<Region> MemoryTable::find_locked(uintptr_t address) {
  auto next = regions_.upper_bound(address);
  if (next == regions_.begin()) return nullptr;
  const std::shared_ptr<Region>& region = std::prev(next)->second;
  return address < region->end() ? region : nullptr;
}

bool MemoryTable::pin(uintptr_t address, size_t bytes, bool write, int device, Pins& pins) {
  if (bytes == 0) return true;
  if (address + bytes < address) return false;
  const auto needed = write ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE : CU_MEM_ACCESS_FLAGS_PROT_READ;
  const uintptr_t end = address + bytes;
  std::vector<std::shared_ptr<Region>> found;
  const std::lock_guard<std::mutex> lock(mutex_);
  while (address < end) {
    std::shared_ptr<Region> region = find_locked(address);
    if (region == nullptr || region->retiring_) return false;
    const auto allowed =
        device == kAnyDevice ? region->widest_access() : region->access[static_cast<size_t>(device)];
    if (allowed < needed) return false;
    address = region->end();
    if (address < end && region->kind != RegionKind::kVmm) return false;
    found.push_back(std::move(region));
  }
  pins.regions_.reserve(pins.regions_.size() + found.size());
  for (auto& region : found) {
    region->pins_++;
    pins.regions_.push_back(std::move(region));
  }
  return true;
}

std::optional<Region> MemoryTable::find(uintptr_t address) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto region = find_locked(address);
  if (region == nullptr || region->retiring_) return std::nullopt;
  return *region;
}

std::vector<Region> MemoryTable::within(uintptr_t address, size_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Region> found;
  auto it = regions_.upper_bound(address);
  if (it != regions_.begin() && std::prev(it)->second->end() > address) --it;
  for (; it != regions_.end() && it->first < address + bytes; ++it) found.push_back(*it->second);
  return found;
}

std::optional<Region> MemoryTable::retire(uintptr_t base, RegionKind kind) {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto found = regions_.find(base);
  if (found == regions_.end() || found->second->kind != kind || found->second->retiring_) return std::nullopt;
  const std::shared_ptr<Region> region = found->second;
  region->retiring_ = true;
  unpinned_.wait(lock, [&] { return region->pins_ == 0; });
  regions_.erase(base);
  return *region;
}

}  // namespace cuda_ipc::host
