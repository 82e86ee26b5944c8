#include "memory/open_slab.h"

#include "memory/ipc_table.h"
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

std::unique_ptr<SharedMemory> map(const SlabSource& source) {
  if (source.handle) return std::make_unique<IpcSlabMemory>(open_ipc_memory(*source.handle, source.device));
  return std::make_unique<VmmMemory>(AllocationHandle::import(source.device, source.fd), source.bytes,
                                     source.access);
}

}  // namespace

MappingTable::Reference open_slab(const SlabSource& source) {
  if (source.handle.has_value() == static_cast<bool>(source.fd))
    throw Error("ERR_CUDA_IPC_INVALID_ARGUMENT",
                "A slab is opened by its descriptor or by its handle: pass one of them.");
  const Access access = source.handle ? Access::kReadWrite : source.access;
  MappingTable::Reference reference =
      mapping_table().open({source.id, device_uuid(source.device), access}, [&] { return map(source); });
  // Another allocation under the slab's name: tensors beyond its end would read other memory, or fault.
  if (reference->bytes() < source.bytes)
    throw Error("ERR_CUDA_IPC_INVALID_ARGUMENT", "The slab is said to have " + std::to_string(source.bytes) +
                                                     " bytes, but the memory behind it has " +
                                                     std::to_string(reference->bytes()) + ".");
  return reference;
}

}  // namespace cuda_ipc
