#include "memory/mapping_rehearsal.h"

#include <exception>
#include <utility>

#include "memory/slab.h"
#include "memory/vmm_memory.h"

namespace cuda_ipc {

namespace {

constexpr int kTimes = 2;

thread_local bool in_earnest = false;

void map_a_little(int device) noexcept {
  if (in_earnest) return;
  try {
    const size_t bytes = slab_bytes(device, 1, Sharing::kVmm);
    const AllocationHandle own = AllocationHandle::create(device, bytes);
    for (int i = 0; i < kTimes; ++i) {
      const Fd fd = own.export_fd();
      VmmMemory(AllocationHandle::import(device, fd), bytes, Access::kRead);
    }
  } catch (const std::exception&) {  // whoever maps something is told
  }
}

}  // namespace

void rehearse_mappings() {
  on_context_up(map_a_little);
}

MappingInEarnest::MappingInEarnest() : before_(std::exchange(in_earnest, true)) {}

MappingInEarnest::~MappingInEarnest() {
  in_earnest = before_;
}

}  // namespace cuda_ipc
