// Maps a slab that this or another process has made.
#pragma once

#include <optional>

#include "memory/fd.h"
#include "memory/mapping_table.h"

namespace cuda_ipc {

struct SlabSource {
  SlabId id;
  int device;
  size_t bytes;
  Access access;
  // Exactly one of the two.
  Fd fd;
  std::optional<cu::CUipcMemHandle> handle;
};

// One more reference on the mapping that this process has of the slab, or a new mapping. CUDA IPC knows no
// read-only mappings, so an ipc slab is mapped writable whatever the access, once. One that this process has
// made is counted and not opened, which the driver would refuse. Throws Error: ERR_CUDA_IPC_STALE_HANDLE,
// ERR_CUDA_IPC_INVALID_FD, ERR_CUDA_IPC_OUT_OF_MEMORY, ...
MappingTable::Reference open_slab(const SlabSource& source);

}  // namespace cuda_ipc
