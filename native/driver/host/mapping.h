// Address space: mappings and reservations, as the memory functions need them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "driver/types.h"

namespace cuda_ipc::host {

class Context;

constexpr size_t kGranularity = 2 << 20;  // of VMM allocations, as on every GPU so far

// Maps the memory readable and writable; 0 with errno when the system refused.
uintptr_t map_shared(int memory, size_t bytes);
uintptr_t map_private(size_t bytes);
// Address space without memory, aligned, at `hint` if that is free.
uintptr_t reserve(size_t bytes, size_t alignment, uintptr_t hint);
void unmap(uintptr_t base, size_t bytes);

// For the last release of a context.
void free_memory_of(Context& context);

}  // namespace cuda_ipc::host
