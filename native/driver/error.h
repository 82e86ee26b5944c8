// The one exception type of the native side. The JavaScript layer turns it into its CudaIpcError.
#pragma once

#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "driver/types.h"

namespace cuda_ipc {

class Error : public std::exception {
 public:
  // code: "ERR_CUDA_IPC_..."; message: what happened and what to do about it.
  Error(std::string code, std::string message) : code_(std::move(code)), message_(std::move(message)) {}

  const char* what() const noexcept override { return message_.c_str(); }
  const std::string& code() const noexcept { return code_; }

  // For failures of a CUDA call: the driver's number and name for it, and the function that failed.
  int cuda_result = 0;
  std::string cuda_name;
  std::string call;
  // For failures of a system call: errno.
  int system_errno = 0;
  // Further facts, as name and decimal value: neededBytes, freeBytes, totalBytes, ...
  std::vector<std::pair<std::string, unsigned long long>> details;
  // The same that are no numbers: the UUID of a device.
  std::vector<std::pair<std::string, std::string>> texts;

 private:
  std::string code_;
  std::string message_;
};

// Throws the diagnosis of a failed CUDA call: ERR_CUDA_IPC_OUT_OF_MEMORY, ERR_CUDA_IPC_SAME_PROCESS,
// ERR_CUDA_IPC_STALE_HANDLE, ... and ERR_CUDA_IPC_CUDA for what has no diagnosis of its own.
[[noreturn]] void throw_cuda_error(cu::CUresult result, const char* call);
[[noreturn]] void throw_out_of_memory(const char* call, unsigned long long needed_bytes);
[[noreturn]] void throw_system_error(int error_number, const std::string& doing);

}  // namespace cuda_ipc

// CUDA_IPC_CHECK(cuMemFree(pointer)): calls through the table, and throws the diagnosis when it fails.
#define CUDA_IPC_CHECK(call)                                                    \
  do {                                                                          \
    const ::cuda_ipc::cu::CUresult cuda_ipc_result = ::cuda_ipc::driver().call; \
    if (cuda_ipc_result != ::cuda_ipc::cu::CUDA_SUCCESS)                        \
      ::cuda_ipc::throw_cuda_error(cuda_ipc_result, #call);                     \
  } while (false)
