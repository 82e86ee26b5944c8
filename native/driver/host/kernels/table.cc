#include <cstring>

#include "driver/host/kernels/entries.h"

namespace cuda_ipc::host {

namespace {

// Names and parameters are those of native/kernels/*.cu: pointers and counts are 8 bytes each.
const std::vector<HostKernelEntry>& entries() {
  static const auto* const table = new std::vector<HostKernelEntry>{
      {"cuda_ipc_checksum", {8, 8, 8, 8}, run_checksum},
      {"cuda_ipc_fill_u8", {8, 8, 1}, run_fill_u8},
      {"cuda_ipc_fill_u16", {8, 8, 2}, run_fill_u16},
      {"cuda_ipc_fill_u32", {8, 8, 4}, run_fill_u32},
      {"cuda_ipc_fill_u64", {8, 8, 8}, run_fill_u64},
      {"cuda_ipc_atomic_add_u32", {8, 4, 8}, run_atomic_add_u32},
      {"cuda_ipc_atomic_add_u64", {8, 8, 8}, run_atomic_add_u64},
      {"cuda_ipc_atomic_add_f32", {8, 4, 8}, run_atomic_add_f32},
      {"cuda_ipc_linear_f32", {8, 8, 8, 8, 8}, run_linear_f32},
      {"cuda_ipc_linear_f16", {8, 8, 8, 8, 8}, run_linear_f16},
      {"cuda_ipc_linear_bf16", {8, 8, 8, 8, 8}, run_linear_bf16},
  };
  return *table;
}

}  // namespace

const HostKernelEntry* find_host_kernel(const char* name) {
  for (const HostKernelEntry& entry : entries())
    if (std::strcmp(entry.name, name) == 0) return &entry;
  return nullptr;
}

}  // namespace cuda_ipc::host
