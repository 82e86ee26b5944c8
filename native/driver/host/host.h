// The driver without a GPU: every function of functions.def on memfd-backed host memory, shared between real
// processes, with the real driver's error codes for the same misuse (compared with an H100, driver 580).
//
// Environment, read by cuInit:
//   CUDA_IPC_HOST_DEVICES  devices on this "machine"; default 2, at most 64
//   CUDA_IPC_HOST_MEMORY   bytes per device, with K, M or G; default 8G
//   CUDA_IPC_HOST_VMM      0: devices that do not share memory as file descriptors, as some are; default 1
//   CUDA_IPC_HOST_SCOPE    names the "machine", default the uid: processes of different scopes see other
//                          devices (other UUIDs) and account memory apart
//   CUDA_IPC_HOST_FAULTS   injected faults, see set_faults
//   CUDA_VISIBLE_DEVICES   as CUDA reads it
// A "machine" ends at the network namespace: the accounting is in the kernel's table of Unix sockets.
// A bad value makes cuInit return CUDA_ERROR_INVALID_VALUE and say why on standard error.
#pragma once

#include <string>

#include "driver/table.h"

namespace cuda_ipc::host {

const cu::Table& table();

// Replaces the injected faults, and counts calls from 1 again. "cuMemCreate:2=2,cuMemMap:1=hang": a function,
// which of its calls
// (`N`, `N-` for all from N on, `N-M`, `*`), and what happens:
//   a number  the call does nothing and returns it; one that ends a context's life on a GPU (214,
//             220, 700, 702, 710, 714-719) also fails the current context, as on a GPU
//   hang      the call never returns
//   slow=MS   the call is made after so many milliseconds
//   kill      the process gets SIGKILL
// Throws std::invalid_argument naming the entry that cannot be read.
void set_faults(const std::string& text);

}  // namespace cuda_ipc::host
