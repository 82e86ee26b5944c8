#include "driver/error.h"

#include <cerrno>
#include <system_error>

#include "driver/diagnosis.h"
#include "driver/state.h"

namespace cuda_ipc {

namespace {

const cu::Table* table_if_up() {
  const DriverState* state = driver_state_if_up();
  return state != nullptr ? state->table : nullptr;
}

// Says how much there is, where a context is current: without one the driver does not tell.
Error diagnose_out_of_memory(const cu::Table* table, const char* call, unsigned long long needed_bytes) {
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  const bool known = table != nullptr && table->cuMemGetInfo(&free_bytes, &total_bytes) == cu::CUDA_SUCCESS;
  std::string numbers;
  if (needed_bytes != 0) numbers += "Needed: " + std::to_string(needed_bytes) + " bytes. ";
  if (known)
    numbers += "Free on the device: " + std::to_string(free_bytes) + " of " + std::to_string(total_bytes) +
               " bytes. ";
  Error error =
      diagnose(table, cu::CUDA_ERROR_OUT_OF_MEMORY, call, "ERR_CUDA_IPC_OUT_OF_MEMORY",
               numbers +
                   "Free device memory, close other processes on the device (each holds a context of some "
                   "500 MiB), or use another device.");
  if (needed_bytes != 0) error.details.emplace_back("neededBytes", needed_bytes);
  if (known) {
    error.details.emplace_back("freeBytes", free_bytes);
    error.details.emplace_back("totalBytes", total_bytes);
  }
  return error;
}

}  // namespace

void throw_cuda_error(cu::CUresult result, const char* call) {
  const cu::Table* table = table_if_up();
  if (result == cu::CUDA_ERROR_OUT_OF_MEMORY) throw diagnose_out_of_memory(table, call, 0);
  throw diagnose(table, result, call);
}

void throw_out_of_memory(const char* call, unsigned long long needed_bytes) {
  throw diagnose_out_of_memory(table_if_up(), call, needed_bytes);
}

void throw_system_error(int error_number, const std::string& doing) {
  const bool limit = error_number == EMFILE || error_number == ENFILE;
  Error error(limit ? "ERR_CUDA_IPC_FD_LIMIT" : "ERR_CUDA_IPC_SYSTEM",
              "Failed at " + doing + ": " + std::generic_category().message(error_number) + " (errno " +
                  std::to_string(error_number) + ")." +
                  (limit ? " Raise the limit on open file descriptors (ulimit -n), or close some." : ""));
  error.system_errno = error_number;
  throw error;
}

}  // namespace cuda_ipc
