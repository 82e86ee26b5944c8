// The driver calls that any attach must make, timed one by one.
#pragma once

#include <cstdint>

#include "clock.h"
#include "floor/cuda.h"
#include "floor/exporter.h"
#include "floor/ticket.h"

namespace floor_program {

// One mapping, and when each call that made it was done. Of `ipc` only begin and end are set.
struct Import {
  cu::CUdeviceptr pointer = 0;
  cu::CUmemGenericAllocationHandle handle = 0;
  int64_t begin = 0, imported = 0, reserved = 0, mapped = 0, end = 0;
};

inline Import import_vmm(const cu::Table& cuda, cu::CUdevice device, const Ticket& ticket) {
  Import it;
  const cu::CUmemAccessDesc access{location_of(device), cu::CU_MEM_ACCESS_FLAGS_PROT_READ};
  it.begin = peers::now();
  FLOOR_CHECK(cuda, cuMemImportFromShareableHandle(&it.handle,
                                                   reinterpret_cast<void*>(static_cast<intptr_t>(ticket.fd)),
                                                   cu::CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
  it.imported = peers::now();
  FLOOR_CHECK(cuda, cuMemAddressReserve(&it.pointer, ticket.bytes, 0, 0, 0));
  it.reserved = peers::now();
  FLOOR_CHECK(cuda, cuMemMap(it.pointer, ticket.bytes, 0, it.handle, 0));
  it.mapped = peers::now();
  FLOOR_CHECK(cuda, cuMemSetAccess(it.pointer, ticket.bytes, &access, 1));
  it.end = peers::now();
  return it;
}

inline Import import_ipc(const cu::Table& cuda, const Ticket& ticket) {
  Import it;
  it.begin = peers::now();
  FLOOR_CHECK(cuda, cuIpcOpenMemHandle(&it.pointer, ticket.handle, cu::CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
  it.end = peers::now();
  return it;
}

inline Import import_slab(const cu::Table& cuda, cu::CUdevice device, const Ticket& ticket) {
  return ticket.fd >= 0 ? import_vmm(cuda, device, ticket) : import_ipc(cuda, ticket);
}

inline void undo(const cu::Table& cuda, const Ticket& ticket, const Import& it) {
  if (ticket.fd < 0) {
    FLOOR_CHECK(cuda, cuIpcCloseMemHandle(it.pointer));
    return;
  }
  FLOOR_CHECK(cuda, cuMemUnmap(it.pointer, ticket.bytes));
  FLOOR_CHECK(cuda, cuMemAddressFree(it.pointer, ticket.bytes));
  FLOOR_CHECK(cuda, cuMemRelease(it.handle));
}

// That the mapping is the exporter's memory, at both ends.
inline void verify(const cu::Table& cuda, const Ticket& ticket, const Import& it) {
  for (const size_t offset : {size_t{0}, ticket.bytes - 4}) {
    unsigned word = 0;
    FLOOR_CHECK(cuda, cuMemcpyDtoH(&word, it.pointer + offset, sizeof(word)));
    if (word == kPattern) continue;
    std::fprintf(stderr, "floor: the imported memory holds %08x at %zu\n", word, offset);
    std::exit(1);
  }
}

}  // namespace floor_program
