// Maps a slab that this or another process has made.
#pragma once

#include <optional>
#include <string>

#include "memory/fd.h"
#include "memory/mapping_table.h"

namespace cuda_ipc {

struct SlabSource {
  SlabId id;
  // The device's UUID: ordinals differ between processes.
  std::string uuid;
  size_t bytes;
  Access access;
  // Exactly one of the two.
  Fd fd;
  std::optional<cu::CUipcMemHandle> handle;
};

struct OpenedSlab {
  // Ordinal in this process.
  int device;
  MappingTable::Reference reference;
};

// One more reference on the mapping that this process has of the slab, or a new mapping. CUDA IPC knows no
// read-only mappings, so an ipc slab is mapped writable whatever the access, once. One that this process has
// made is counted and not opened, which the driver would refuse. Throws Error:
// ERR_CUDA_IPC_DEVICE_NOT_VISIBLE, ERR_CUDA_IPC_STALE_HANDLE, ERR_CUDA_IPC_INVALID_FD,
// ERR_CUDA_IPC_OUT_OF_MEMORY, ...
OpenedSlab open_slab(const SlabSource& source);

}  // namespace cuda_ipc
