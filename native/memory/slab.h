// One device allocation made by this process to be shared.
#pragma once

#include <memory>
#include <optional>

#include "memory/fd.h"
#include "memory/mapping_table.h"

namespace cuda_ipc {

enum class Sharing { kVmm, kIpc };

// A multiple of 2 MiB and of the device's granularity. CUDA packs small allocations into blocks of 2 MiB, and
// an exported handle exposes the whole block: a slab of whole blocks has no neighbours to expose.
size_t slab_bytes(int device, size_t least, Sharing sharing);

// Destroying it lets go of what this process holds for having made the slab. Memory shared as vmm lives on in
// its descriptors and other mappings. Memory shared as ipc is freed, or, while this process has opened its
// own slab, at the last of those references.
class Slab {
 public:
  // Throws Error: ERR_CUDA_IPC_OUT_OF_MEMORY with the bytes needed and free, ERR_CUDA_IPC_NOT_SUPPORTED, ...
  static std::unique_ptr<Slab> create(const SlabId& id, int device, size_t least_bytes, Sharing sharing);

  virtual ~Slab() = default;
  int device() const { return device_; }
  virtual cu::CUdeviceptr pointer() const = 0;
  virtual size_t bytes() const = 0;
  // Of an ipc slab.
  virtual std::optional<cu::CUipcMemHandle> handle() const { return std::nullopt; }
  // Of a vmm slab; of another, throws Error (ERR_CUDA_IPC_INVALID_STATE). Needs no CUDA.
  virtual Fd export_fd() const;

 protected:
  explicit Slab(int device) : device_(device) {}

 private:
  int device_;
};

}  // namespace cuda_ipc
