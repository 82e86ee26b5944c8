// The slabs mapped by this process: one mapping per slab, device and access, counted.
#pragma once

#include <array>
#include <string>
#include <tuple>

#include "memory/counted_table.h"
#include "memory/mapping.h"
#include "memory/shared_memory.h"

namespace cuda_ipc {

using SlabId = std::array<char, 16>;

// Descriptor numbers and inodes do not identify device memory, and ordinals differ between processes.
struct SlabKey {
  SlabId id;
  std::string device_uuid;
  Access access;

  bool operator<(const SlabKey& other) const {
    return std::tie(id, device_uuid, access) < std::tie(other.id, other.device_uuid, other.access);
  }
};

using MappingTable = CountedTable<SlabKey, SharedMemory>;

// The one of this process, shared by its worker_threads. Never destroyed.
MappingTable& mapping_table();

}  // namespace cuda_ipc
