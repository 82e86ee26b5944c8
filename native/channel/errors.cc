#include "channel/errors.h"

#include <cerrno>
#include <system_error>

namespace cuda_ipc {

bool is_fd_limit(int error_number) {
  return error_number == EMFILE || error_number == ENFILE;
}

Error channel_error(int error_number, const std::string& doing, const char* code, const char* advice) {
  // std::generic_category: strerror() is not safe on several threads.
  std::string message = "Failed while " + doing + ": " + std::generic_category().message(error_number);
  if (is_fd_limit(error_number)) {
    code = "ERR_CUDA_IPC_FD_LIMIT";
    message += error_number == EMFILE ? ". Raise this process's limit of open files (ulimit -n)"
                                      : ". Raise the system's limit of open files (sysctl fs.file-max)";
  } else if (error_number == EACCES || error_number == EPERM) {
    code = "ERR_CUDA_IPC_PERMISSION";
    message += ". Run as the user who owns it, have its owner widen the mode, or choose another socket";
  } else {
    message += advice;
  }
  Error error(code, message);
  error.system_errno = error_number;
  return error;
}

}  // namespace cuda_ipc
