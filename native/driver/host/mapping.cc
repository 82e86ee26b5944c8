#include "driver/host/mapping.h"

#include <sys/mman.h>

namespace cuda_ipc::host {
namespace {

void* to_pointer(uintptr_t address) {
  return reinterpret_cast<void*>(address);
}

uintptr_t from_mmap(void* mapped) {
  return mapped == MAP_FAILED ? 0 : reinterpret_cast<uintptr_t>(mapped);
}

uintptr_t reserve_at(uintptr_t address, size_t bytes, int flags) {
  return from_mmap(mmap(to_pointer(address), bytes, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0));
}

}  // namespace

uintptr_t map_shared(int memory, size_t bytes) {
  return from_mmap(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0));
}

uintptr_t map_private(size_t bytes) {
  return from_mmap(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

uintptr_t reserve(size_t bytes, size_t alignment, uintptr_t hint) {
  if (hint != 0 && hint % alignment == 0) {
    const uintptr_t at_hint = reserve_at(hint, bytes, MAP_FIXED_NOREPLACE);
    if (at_hint == hint) return at_hint;
    if (at_hint != 0) unmap(at_hint, bytes);  // a kernel before 4.17 takes the flag for a mere hint
  }
  if (bytes + alignment < bytes) return 0;
  const uintptr_t raw = reserve_at(0, bytes + alignment, 0);
  if (raw == 0) return 0;
  const uintptr_t base = (raw + alignment - 1) / alignment * alignment;
  if (base > raw) unmap(raw, base - raw);
  if (raw + alignment > base) unmap(base + bytes, raw + alignment - base);
  return base;
}

void unmap(uintptr_t base, size_t bytes) {
  munmap(to_pointer(base), bytes);
}

}  // namespace cuda_ipc::host
