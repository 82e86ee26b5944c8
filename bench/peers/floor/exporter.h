// Allocates one slab, fills it with a pattern, and makes it available to other processes.
#pragma once

#include <cstdint>

#include "floor/cuda.h"
#include "floor/ticket.h"

namespace floor_program {

constexpr unsigned kPattern = 0x5eed5eed;

inline cu::CUmemLocation location_of(cu::CUdevice device) {
  return {cu::CU_MEM_LOCATION_TYPE_DEVICE, device};
}

inline Ticket export_vmm(const cu::Table& cuda, cu::CUdevice device, size_t bytes) {
  cu::CUmemAllocationProp properties{};
  properties.type = cu::CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.requestedHandleTypes = cu::CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  properties.location = location_of(device);
  size_t granularity;
  FLOOR_CHECK(cuda, cuMemGetAllocationGranularity(&granularity, &properties,
                                                  cu::CU_MEM_ALLOC_GRANULARITY_RECOMMENDED));
  Ticket ticket;
  ticket.bytes = (bytes + granularity - 1) / granularity * granularity;
  cu::CUmemGenericAllocationHandle handle;
  FLOOR_CHECK(cuda, cuMemCreate(&handle, ticket.bytes, &properties, 0));
  cu::CUdeviceptr pointer;
  FLOOR_CHECK(cuda, cuMemAddressReserve(&pointer, ticket.bytes, 0, 0, 0));
  FLOOR_CHECK(cuda, cuMemMap(pointer, ticket.bytes, 0, handle, 0));
  const cu::CUmemAccessDesc access{properties.location, cu::CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
  FLOOR_CHECK(cuda, cuMemSetAccess(pointer, ticket.bytes, &access, 1));
  FLOOR_CHECK(cuda, cuMemsetD32(pointer, kPattern, ticket.bytes / 4));
  FLOOR_CHECK(cuda, cuMemExportToShareableHandle(&ticket.fd, handle,
                                                 cu::CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
  return ticket;
}

inline Ticket export_ipc(const cu::Table& cuda, size_t bytes) {
  constexpr size_t kBlock = 2 << 20;
  Ticket ticket;
  ticket.bytes = (bytes + kBlock - 1) / kBlock * kBlock;
  cu::CUdeviceptr pointer;
  FLOOR_CHECK(cuda, cuMemAlloc(&pointer, ticket.bytes));
  FLOOR_CHECK(cuda, cuMemsetD32(pointer, kPattern, ticket.bytes / 4));
  FLOOR_CHECK(cuda, cuIpcGetMemHandle(&ticket.handle, pointer));
  return ticket;
}

}  // namespace floor_program
