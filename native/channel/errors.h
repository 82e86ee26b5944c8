// The errors that sockets, watches and locks have in common.
#pragma once

#include <string>

#include "driver/error.h"

namespace cuda_ipc {

// The error for a failed system call: ERR_CUDA_IPC_FD_LIMIT where descriptors ran out,
// ERR_CUDA_IPC_PERMISSION, else `code`, with `advice`. `doing` completes "... failed while": "accepting a
// connection".
Error channel_error(int error_number, const std::string& doing, const char* code = "ERR_CUDA_IPC_CONNECTION",
                    const char* advice = "");

// Whether the call failed because this process or the system has no descriptors left.
bool is_fd_limit(int error_number);

}  // namespace cuda_ipc
