// Every address range of this process that the driver gave out: what it is and who may touch it. All copies,
// sets and kernels go through pin(), so a bad pointer is an error code and never a crash.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "driver/types.h"

namespace cuda_ipc::host {

struct Allocation;

enum class RegionKind {
  kDevice,  // cuMemAlloc
  kIpc,     // cuIpcOpenMemHandle
  kVmm,     // cuMemMap
  kHost,    // cuMemHostAlloc
};

struct Region {
  uintptr_t base = 0;
  size_t bytes = 0;  // as asked for
  RegionKind kind = RegionKind::kDevice;
  int device = 0;           // ordinal; of host memory, the context it was made in
  bool exportable = false;  // kVmm: as a file descriptor
  std::shared_ptr<Allocation> allocation;
  std::vector<cu::CUmemAccess_flags> access;  // by device ordinal

  uintptr_t end() const { return base + bytes; }
  cu::CUmemAccess_flags widest_access() const;

 private:
  friend class MemoryTable;
  friend class Pins;
  unsigned pins_ = 0;
  bool retiring_ = false;
};

// Regions in use by an operation: they stay mapped until this is gone.
class Pins {
 public:
  Pins() = default;
  ~Pins();
  Pins(const Pins&) = delete;
  Pins& operator=(const Pins&) = delete;

 private:
  friend class MemoryTable;
  std::vector<std::shared_ptr<Region>> regions_;
};

class MemoryTable {
 public:
  static constexpr int kAnyDevice = -1;  // the copy engines reach all memory

  void add(Region region);

  // Whether all of the range may be read, or written, by the device. Keeps it mapped while `pins` lives. A
  // range may run over adjacent VMM mappings, and over nothing else.
  bool pin(uintptr_t address, size_t bytes, bool write, int device, Pins& pins);

  // A copy of the region that holds the address.
  std::optional<Region> find(uintptr_t address);
  // Those that lie in, or reach into, the range.
  std::vector<Region> within(uintptr_t address, size_t bytes);

  // Takes the region out of use: nothing pins it any more, and what had has finished. The caller unmaps.
  // Nothing when no region of that kind begins there, or another thread is taking it.
  std::optional<Region> retire(uintptr_t base, RegionKind kind);

  // Sets a region's access by a device once nobody uses it, and calls `apply` with the widest of all devices'
  // before anybody can again.
  template <typename Apply>
  cu::CUresult change_access(uintptr_t base, int device, cu::CUmemAccess_flags flags, Apply apply) {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto found = regions_.find(base);
    if (found == regions_.end() || found->second->retiring_) return cu::CUDA_ERROR_INVALID_VALUE;
    const std::shared_ptr<Region> region = found->second;
    unpinned_.wait(lock, [&] { return region->pins_ == 0; });
    const auto before = region->access[static_cast<size_t>(device)];
    region->access[static_cast<size_t>(device)] = flags;
    const cu::CUresult result = apply(region->widest_access());
    if (result != cu::CUDA_SUCCESS) region->access[static_cast<size_t>(device)] = before;
    return result;
  }

 private:
  friend class Pins;
  std::shared_ptr<Region> find_locked(uintptr_t address);

  std::mutex mutex_;
  std::condition_variable unpinned_;
  std::map<uintptr_t, std::shared_ptr<Region>> regions_;
};

}  // namespace cuda_ipc::host
