// What the host driver runs behind cuLaunchKernel: host implementations of the kernels in native/kernels/,
// with the same results bit for bit. The entries are the static table of kernels/table.cc.
#pragma once

#include <cstddef>
#include <vector>

#include "driver/types.h"

namespace cuda_ipc::host {

// One launch as a kernel sees it. The parameters' values were copied at cuLaunchKernel, as CUDA does, and
// stay valid until the kernel returns. The kernel runs on a stream's thread: it must be thread-safe.
struct HostLaunch {
  unsigned grid[3];
  unsigned block[3];
  // One address per parameter, in order, each of parameter_sizes[i] bytes and aligned for them.
  void** parameters;
  // Device memory that a kernel may touch: null when any byte of it is not mapped here, or not writable when
  // write is asked for. To be called for every range before it is touched, on the thread that runs the
  // kernel; the range then stays mapped until the kernel returns. An empty range needs no call.
  void* (*access)(cu::CUdeviceptr pointer, size_t bytes, bool write);
};

// Returns CUDA_SUCCESS, or CUDA_ERROR_ILLEGAL_ADDRESS when access() refused.
using HostKernel = cu::CUresult (*)(const HostLaunch&);

struct HostKernelEntry {
  const char* name;
  std::vector<size_t> parameter_sizes;
  HostKernel run;
};

// Null when there is no such kernel. The entry lives as long as the process.
const HostKernelEntry* find_host_kernel(const char* name);

}  // namespace cuda_ipc::host
