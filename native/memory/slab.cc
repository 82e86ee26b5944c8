#include "memory/slab.h"

#include <algorithm>
#include <limits>

#include "memory/device_memory.h"
#include "memory/vmm_memory.h"

namespace cuda_ipc {

namespace {

constexpr size_t kBlock = size_t{2} << 20;

class VmmSlab final : public Slab {
 public:
  VmmSlab(int device, size_t bytes)
      : Slab(device),
        memory_(AllocationHandle::create(device, bytes), bytes, Access::kReadWrite),
        fd_(memory_.allocation().export_fd()) {}

  cu::CUdeviceptr pointer() const override { return memory_.pointer(); }
  size_t bytes() const override { return memory_.bytes(); }
  Fd export_fd() const override { return fd_.duplicate(); }

 private:
  VmmMemory memory_;
  Fd fd_;
};

// The memory itself sits in the mapping table, where open_slab() in this process finds it.
class IpcSlab final : public Slab {
 public:
  IpcSlab(const SlabId& id, int device, size_t bytes)
      : IpcSlab(id, device, std::make_unique<DeviceMemory>(device, bytes)) {}

  cu::CUdeviceptr pointer() const override { return memory_->pointer(); }
  size_t bytes() const override { return memory_->bytes(); }
  std::optional<cu::CUipcMemHandle> handle() const override { return handle_; }

 private:
  IpcSlab(const SlabId& id, int device, std::unique_ptr<DeviceMemory> memory)
      : Slab(device), handle_(memory->ipc_handle()), memory_(publish(id, device, std::move(memory))) {}

  static MappingTable::Reference publish(const SlabId& id, int device, std::unique_ptr<DeviceMemory> memory) {
    auto reference =
        mapping_table().publish({id, device_uuid(device), Access::kReadWrite}, std::move(memory));
    if (!reference)
      throw Error(
          "ERR_CUDA_IPC_INVALID_ARGUMENT",
          "This process has a slab with that id on that device already: every slab needs a random id.");
    return std::move(*reference);
  }

  cu::CUipcMemHandle handle_;
  MappingTable::Reference memory_;
};

}  // namespace

size_t slab_bytes(int device, size_t least, Sharing sharing) {
  size_t unit = kBlock;
  if (sharing == Sharing::kVmm) {
    const cu::CUmemAllocationProp properties = shareable_properties(device);
    size_t granularity = 0;
    ContextScope scope(device);
    CUDA_IPC_CHECK(
        cuMemGetAllocationGranularity(&granularity, &properties, cu::CU_MEM_ALLOC_GRANULARITY_MINIMUM));
    unit = std::max(unit, granularity);
  }
  if (least == 0 || least > std::numeric_limits<size_t>::max() - unit)
    throw Error(
        "ERR_CUDA_IPC_INVALID_ARGUMENT",
        "Expected a possible number of bytes for a slab, but received " + std::to_string(least) + ".");
  return (least + unit - 1) / unit * unit;
}

std::unique_ptr<Slab> Slab::create(const SlabId& id, int device, size_t least_bytes, Sharing sharing) {
  const size_t bytes = slab_bytes(device, least_bytes, sharing);
  if (sharing == Sharing::kVmm) return std::make_unique<VmmSlab>(device, bytes);
  return std::make_unique<IpcSlab>(id, device, bytes);
}

Fd Slab::export_fd() const {
  throw Error("ERR_CUDA_IPC_INVALID_STATE",
              "A slab shared as ipc has no file descriptor: it is passed on by its 64-byte handle.");
}

}  // namespace cuda_ipc
