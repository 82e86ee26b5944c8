// What an owner's `attached`, and an `ahead` before it, say of the memory that is granted, or will be
// (docs/protocol.md).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "driver/types.h"
#include "memory/mapping_table.h"

namespace cuda_ipc {

struct GrantedSlab {
  SlabId id;
  std::string uuid;
  size_t bytes;
  // Of an ipc slab. The others have the frame's descriptors, in order; behind those is the manifest's.
  std::optional<cu::CUipcMemHandle> handle;
};

struct Grant {
  bool ahead;         // of the grant itself, which is to follow
  std::string lease;  // none ahead
  std::vector<GrantedSlab> slabs;
};

// How many descriptors a frame declares; nothing when it does not say so first, as this library's do.
std::optional<size_t> declared_descriptors(std::string_view frame);

// Nothing when it is another message, or is not as expected: what is wrong with it is for JavaScript to say,
// which reads it next.
std::optional<Grant> read_grant(std::string_view frame);

}  // namespace cuda_ipc
