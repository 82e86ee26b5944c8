// Names and texts of errors.
#include "driver/host/functions.h"

namespace cuda_ipc::host {
namespace {

struct ErrorText {
  CUresult error;
  const char* name;
  const char* text;
};

#define CUDA_IPC_ERROR(name, text) \
  { name, #name, text }
constexpr ErrorText kErrors[] = {
    CUDA_IPC_ERROR(CUDA_SUCCESS, "no error"),
    CUDA_IPC_ERROR(CUDA_ERROR_INVALID_VALUE, "invalid argument"),
    CUDA_IPC_ERROR(CUDA_ERROR_OUT_OF_MEMORY, "out of memory"),
    CUDA_IPC_ERROR(CUDA_ERROR_NOT_INITIALIZED, "initialization error"),
    CUDA_IPC_ERROR(CUDA_ERROR_DEINITIALIZED, "driver shutting down"),
    CUDA_IPC_ERROR(CUDA_ERROR_STUB_LIBRARY, "CUDA driver is a stub library"),
    CUDA_IPC_ERROR(CUDA_ERROR_DEVICE_UNAVAILABLE, "CUDA-capable device(s) is/are busy or unavailable"),
    CUDA_IPC_ERROR(CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected"),
    CUDA_IPC_ERROR(CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal"),
    CUDA_IPC_ERROR(CUDA_ERROR_INVALID_IMAGE, "device kernel image is invalid"),
    CUDA_IPC_ERROR(CUDA_ERROR_INVALID_CONTEXT, "invalid device context"),
    CUDA_IPC_ERROR(CUDA_ERROR_MAP_FAILED, "mapping of buffer object failed"),
    CUDA_IPC_ERROR(CUDA_ERROR_ALREADY_MAPPED, "resource already mapped"),
    CUDA_IPC_ERROR(CUDA_ERROR_NO_BINARY_FOR_GPU, "no kernel image is available for execution on the device"),
    CUDA_IPC_ERROR(CUDA_ERROR_NOT_MAPPED, "resource not mapped"),
    CUDA_IPC_ERROR(CUDA_ERROR_ECC_UNCORRECTABLE, "uncorrectable ECC error encountered"),
    CUDA_IPC_ERROR(CUDA_ERROR_PEER_ACCESS_UNSUPPORTED,
                   "peer access is not supported between these two devices"),
    CUDA_IPC_ERROR(CUDA_ERROR_INVALID_PTX, "a PTX JIT compilation failed"),
    CUDA_IPC_ERROR(CUDA_ERROR_NVLINK_UNCORRECTABLE,
                   "uncorrectable NVLink error detected during the execution"),
    CUDA_IPC_ERROR(CUDA_ERROR_UNSUPPORTED_PTX_VERSION,
                   "the provided PTX was compiled with an unsupported toolchain."),
    CUDA_IPC_ERROR(CUDA_ERROR_OPERATING_SYSTEM, "OS call failed or operation not supported on this OS"),
    CUDA_IPC_ERROR(CUDA_ERROR_INVALID_HANDLE, "invalid resource handle"),
    CUDA_IPC_ERROR(CUDA_ERROR_ILLEGAL_STATE, "the operation cannot be performed in the present state"),
    CUDA_IPC_ERROR(CUDA_ERROR_NOT_FOUND, "named symbol not found"),
    CUDA_IPC_ERROR(CUDA_ERROR_NOT_READY, "device not ready"),
    CUDA_IPC_ERROR(CUDA_ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered"),
    CUDA_IPC_ERROR(CUDA_ERROR_LAUNCH_TIMEOUT, "the launch timed out and was terminated"),
    CUDA_IPC_ERROR(CUDA_ERROR_ASSERT, "device-side assert triggered"),
    CUDA_IPC_ERROR(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED,
                   "part or all of the requested memory range is already mapped"),
    CUDA_IPC_ERROR(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED,
                   "pointer does not correspond to a registered memory region"),
    CUDA_IPC_ERROR(CUDA_ERROR_HARDWARE_STACK_ERROR, "hardware stack error"),
    CUDA_IPC_ERROR(CUDA_ERROR_ILLEGAL_INSTRUCTION, "an illegal instruction was encountered"),
    CUDA_IPC_ERROR(CUDA_ERROR_MISALIGNED_ADDRESS, "misaligned address"),
    CUDA_IPC_ERROR(CUDA_ERROR_INVALID_ADDRESS_SPACE,
                   "operation not supported on global/shared address space"),
    CUDA_IPC_ERROR(CUDA_ERROR_INVALID_PC, "invalid program counter"),
    CUDA_IPC_ERROR(CUDA_ERROR_LAUNCH_FAILED, "unspecified launch failure"),
    CUDA_IPC_ERROR(CUDA_ERROR_NOT_PERMITTED, "operation not permitted"),
    CUDA_IPC_ERROR(CUDA_ERROR_NOT_SUPPORTED, "operation not supported"),
    CUDA_IPC_ERROR(CUDA_ERROR_SYSTEM_NOT_READY, "system not yet initialized"),
    CUDA_IPC_ERROR(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH,
                   "system has unsupported display driver / cuda driver combination"),
    CUDA_IPC_ERROR(CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE,
                   "forward compatibility was attempted on non supported HW"),
    CUDA_IPC_ERROR(CUDA_ERROR_MPS_CONNECTION_FAILED,
                   "MPS client failed to connect to the MPS control daemon"),
    CUDA_IPC_ERROR(CUDA_ERROR_MPS_RPC_FAILURE,
                   "the remote procedural call between the MPS server and client failed"),
    CUDA_IPC_ERROR(CUDA_ERROR_MPS_SERVER_NOT_READY, "MPS server is not ready to accept new client requests"),
    CUDA_IPC_ERROR(CUDA_ERROR_MPS_MAX_CLIENTS_REACHED, "MPS maximum number of clients is reached"),
    CUDA_IPC_ERROR(CUDA_ERROR_MPS_MAX_CONNECTIONS_REACHED, "MPS maximum number of connections is reached"),
    CUDA_IPC_ERROR(CUDA_ERROR_UNKNOWN, "unknown error"),
};
#undef CUDA_IPC_ERROR

const ErrorText* find(CUresult error) {
  for (const ErrorText& known : kErrors)
    if (known.error == error) return &known;
  return nullptr;
}

}  // namespace

namespace api {

CUresult cuGetErrorName(CUresult error, const char** name) {
  if (name == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const ErrorText* known = find(error);
  *name = known != nullptr ? known->name : nullptr;
  return known != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult error, const char** text) {
  if (text == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const ErrorText* known = find(error);
  *text = known != nullptr ? known->text : nullptr;
  return known != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

}  // namespace api
}  // namespace cuda_ipc::host
