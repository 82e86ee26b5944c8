#include "memory/address_reservation.h"

namespace cuda_ipc {

AddressReservation::AddressReservation(int device, size_t bytes) : device_(device), bytes_(bytes) {
  ContextScope scope(device);
  CUDA_IPC_CHECK(cuMemAddressReserve(&pointer_, bytes, 0, 0, 0));
}

AddressReservation::~AddressReservation() {
  if (armed_) undo(device_, [this](const cu::Table& table) { table.cuMemAddressFree(pointer_, bytes_); });
}

}  // namespace cuda_ipc
