#include "memory/mapping.h"

namespace cuda_ipc {

Mapping::Mapping(const AddressReservation& reservation, const AllocationHandle& allocation)
    : device_(reservation.device()), pointer_(reservation.pointer()), bytes_(reservation.bytes()) {
  ContextScope scope(device_);
  CUDA_IPC_CHECK(cuMemMap(pointer_, bytes_, 0, allocation.get(), 0));
}

Mapping::~Mapping() {
  if (armed_) undo(device_, [this](const cu::Table& table) { table.cuMemUnmap(pointer_, bytes_); });
}

void Mapping::set_access(Access access) {
  ContextScope scope(device_);
  cu::CUmemAccessDesc description{};
  description.location.type = cu::CU_MEM_LOCATION_TYPE_DEVICE;
  description.location.id = device_;
  description.flags =
      access == Access::kRead ? cu::CU_MEM_ACCESS_FLAGS_PROT_READ : cu::CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  CUDA_IPC_CHECK(cuMemSetAccess(pointer_, bytes_, &description, 1));
}

}  // namespace cuda_ipc
