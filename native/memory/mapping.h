// Device memory at a device address.
#pragma once

#include "memory/address_reservation.h"
#include "memory/allocation_handle.h"

namespace cuda_ipc {

enum class Access { kRead, kReadWrite };

// Undone by cuMemUnmap. Declare it after its reservation, so that it goes first.
class Mapping {
 public:
  // All of the reservation, with no access yet.
  Mapping(const AddressReservation& reservation, const AllocationHandle& allocation);
  Mapping(Mapping&&) noexcept = default;
  ~Mapping();

  cu::CUdeviceptr pointer() const { return pointer_; }
  size_t bytes() const { return bytes_; }

  // Until then not even the device may touch it.
  void set_access(Access access);

 private:
  Armed armed_;
  int device_;
  cu::CUdeviceptr pointer_;
  size_t bytes_;
};

}  // namespace cuda_ipc
