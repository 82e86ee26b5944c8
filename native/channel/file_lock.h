// An exclusive lock on a file, which ends with its descriptor and so with the process at the latest.
#pragma once

#include <optional>
#include <string>

#include "memory/fd.h"

namespace cuda_ipc {

// Makes the file (0600) where there is none, and locks it without waiting. Nothing: somebody else holds it.
// The descriptor holds the lock. Throws Error: ERR_CUDA_IPC_PERMISSION, ERR_CUDA_IPC_FD_LIMIT,
// ERR_CUDA_IPC_SYSTEM.
std::optional<Fd> lock_file(const std::string& path);

// The lock that a descriptor from another process holds: it belongs to the open file, and so travels with it.
// Throws Error (ERR_CUDA_IPC_INVALID_ARGUMENT) when somebody else holds the file's lock.
Fd adopt_lock(Fd file);

}  // namespace cuda_ipc
