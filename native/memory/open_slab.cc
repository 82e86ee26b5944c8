#include "memory/open_slab.h"

#include "memory/ipc_table.h"
#include "memory/mapping_rehearsal.h"
#include "memory/vmm_memory.h"

namespace cuda_ipc {

namespace {

// A slab's reference on an allocation that the raw layer may have open too.
class IpcSlabMemory final : public SharedMemory {
 public:
  explicit IpcSlabMemory(IpcTable::Reference memory) : memory_(std::move(memory)), bytes_(memory_->bytes()) {}
  cu::CUdeviceptr pointer() const override { return memory_->pointer(); }
  size_t bytes() const override { return bytes_; }

 private:
  IpcTable::Reference memory_;
  size_t bytes_;
};

int visible_device(const std::string& uuid) {
  if (const std::optional<int> device = find_device(uuid)) return *device;
  Error error("ERR_CUDA_IPC_DEVICE_NOT_VISIBLE",
              "The memory is on device " + uuid +
                  ", which this process does not see. Let CUDA_VISIBLE_DEVICES (or the container's device "
                  "list) include it; MIG instances must be the same one.");
  error.texts.emplace_back("device", uuid);
  throw error;
}

std::unique_ptr<SharedMemory> map(int device, const SlabSource& source) {
  if (source.handle) return std::make_unique<IpcSlabMemory>(open_ipc_memory(*source.handle, device));
  return std::make_unique<VmmMemory>(AllocationHandle::import(device, source.fd), source.bytes,
                                     source.access);
}

}  // namespace

OpenedSlab open_slab(const SlabSource& source) {
  const MappingInEarnest in_earnest;
  if (source.handle.has_value() == static_cast<bool>(source.fd))
    throw Error("ERR_CUDA_IPC_INVALID_ARGUMENT",
                "A slab is opened by its descriptor or by its handle: pass one of them.");
  const int device = visible_device(source.uuid);
  const Access access = source.handle ? Access::kReadWrite : source.access;
  MappingTable::Reference reference =
      mapping_table().open({source.id, source.uuid, access}, [&] { return map(device, source); });
  // Another allocation under the slab's name: tensors beyond its end would read other memory, or fault.
  if (reference->bytes() < source.bytes)
    throw Error("ERR_CUDA_IPC_INVALID_ARGUMENT", "The slab is said to have " + std::to_string(source.bytes) +
                                                     " bytes, but the memory behind it has " +
                                                     std::to_string(reference->bytes()) + ".");
  return {device, std::move(reference)};
}

}  // namespace cuda_ipc
