// A range of device addresses with nothing behind it yet.
#pragma once

#include "memory/undo.h"

namespace cuda_ipc {

// Undone by cuMemAddressFree, which the driver refuses while something is mapped in the range.
class AddressReservation {
 public:
  AddressReservation(int device, size_t bytes);
  AddressReservation(AddressReservation&&) noexcept = default;
  ~AddressReservation();

  int device() const { return device_; }
  cu::CUdeviceptr pointer() const { return pointer_; }
  size_t bytes() const { return bytes_; }

 private:
  Armed armed_;
  int device_;
  cu::CUdeviceptr pointer_ = 0;
  size_t bytes_;
};

}  // namespace cuda_ipc
