#include "driver/diagnosis.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

namespace cuda_ipc {

namespace {

using namespace cu;

// A result of any function whose name begins with `call` ("" fits all). The first row that fits is taken.
struct Row {
  CUresult result;
  const char* call;
  const char* code;
  const char* advice;
};

constexpr const char* kFault =
    "Work on the device failed in a way that the driver does not recover from: this process's context is "
    "lost and every further CUDA call in it fails. Restart this process; other processes and shared memory "
    "are untouched, except for co-clients of one MPS server.";
constexpr const char* kDeviceLost =
    "The device is lost to this process and its memory with it. nvidia-smi and the kernel log (Xid) say "
    "why; the device needs a reset, and then every process on it a restart.";
constexpr const char* kMps =
    "CUDA goes through an MPS server here. See that nvidia-cuda-mps-control runs for this user, that "
    "CUDA_MPS_PIPE_DIRECTORY is the same on both sides, and that it has clients to spare.";
constexpr const char* kStaleHandle =
    "The process that exported this handle has ended, or freed the memory, or runs where this process "
    "cannot see it (containers must share the IPC and PID namespaces), or these 64 bytes are no handle. "
    "Attach to the current owner for a new one.";
constexpr const char* kSameProcess =
    "A CUDA IPC handle cannot be opened by the process that exported it: use the original there.";
constexpr const char* kNotExportable =
    "Only memory from cudaMalloc can be exported as a CUDA IPC handle: not memory of a pool "
    "(cudaMallocAsync), managed, virtual-memory-management or host memory, nor memory opened from another "
    "process.";
constexpr const char* kImport =
    "The descriptor must be of a device allocation exported with cuMemExportToShareableHandle, of a device "
    "that this process sees too.";
constexpr const char* kMapped =
    "The bytes to map must be those of the allocation, which are a multiple of its granularity (2 MiB).";
constexpr const char* kModule =
    "The code does not fit this device or driver: pass a cubin for its architecture, or PTX of a version "
    "that the driver knows.";
constexpr const char* kPointer =
    "The pointer is not one that such a call takes: it is of another kind of memory, or freed already.";
constexpr const char* kCopy =
    "Both ranges must lie within live allocations of this process, and the target must not be mapped "
    "read-only.";

constexpr Row kRows[] = {
    {CUDA_ERROR_NO_DEVICE, "", "ERR_CUDA_IPC_NO_DEVICE",
     "The driver is there but this process sees no CUDA device: look at nvidia-smi, CUDA_VISIBLE_DEVICES "
     "and, in a container, at its --gpus option. To run without a GPU, choose the built-in host driver "
     "with CUDA_IPC_DRIVER=host."},
    {CUDA_ERROR_STUB_LIBRARY, "", "ERR_CUDA_IPC_NO_DRIVER",
     "The libcuda.so.1 that was loaded is the CUDA toolkit's stub: take it off LD_LIBRARY_PATH."},
    {CUDA_ERROR_SYSTEM_NOT_READY, "", "ERR_CUDA_IPC_NOT_READY",
     "On a machine with NVSwitch the fabric manager (nvidia-fabricmanager, of the driver's own version) "
     "must run and have finished; then try again."},
    {CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, "", "ERR_CUDA_IPC_DRIVER_MISMATCH",
     "libcuda.so.1 and the kernel module are of different versions: reboot after a driver update, and in a "
     "container take libcuda from the host (NVIDIA container toolkit), not from the image."},
    {CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE, "", "ERR_CUDA_IPC_DRIVER_MISMATCH",
     "The loaded libcuda.so.1 is a forward-compatibility one (cuda-compat), which this device does not "
     "support: take it off LD_LIBRARY_PATH."},
    {CUDA_ERROR_MPS_CONNECTION_FAILED, "", "ERR_CUDA_IPC_MPS", kMps},
    {CUDA_ERROR_MPS_RPC_FAILURE, "", "ERR_CUDA_IPC_MPS", kMps},
    {CUDA_ERROR_MPS_SERVER_NOT_READY, "", "ERR_CUDA_IPC_MPS", kMps},
    {CUDA_ERROR_MPS_MAX_CLIENTS_REACHED, "", "ERR_CUDA_IPC_MPS", kMps},
    {CUDA_ERROR_MPS_MAX_CONNECTIONS_REACHED, "", "ERR_CUDA_IPC_MPS", kMps},
    {CUDA_ERROR_NOT_INITIALIZED, "cuInit", "ERR_CUDA_IPC_FORKED",
     "The driver says so in a process that was forked natively after other code had brought CUDA up: start "
     "workers as programs of their own (child_process.fork, cluster and spawn do that)."},
    // NVIDIA's driver has no other reason for it than flags, of which there are none.
    {CUDA_ERROR_INVALID_VALUE, "cuInit", "ERR_CUDA_IPC_INVALID_ARGUMENT",
     "The host driver does not understand its settings: CUDA_IPC_HOST_MEMORY is a number of bytes, with K, M "
     "or G after it or not (4G), CUDA_IPC_HOST_DEVICES a number up to 64, CUDA_IPC_HOST_VMM 0 or 1."},
    {CUDA_ERROR_UNKNOWN, "cuInit", "ERR_CUDA_IPC_CUDA",
     "The usual reason is that /dev/nvidia-uvm is missing or not accessible (nvidia-modprobe -u -c=0 makes "
     "it), or that the machine was suspended."},

    {CUDA_ERROR_ILLEGAL_ADDRESS, "", "ERR_CUDA_IPC_FAULT", kFault},
    {CUDA_ERROR_LAUNCH_TIMEOUT, "", "ERR_CUDA_IPC_FAULT", kFault},
    {CUDA_ERROR_ASSERT, "", "ERR_CUDA_IPC_FAULT", kFault},
    {CUDA_ERROR_HARDWARE_STACK_ERROR, "", "ERR_CUDA_IPC_FAULT", kFault},
    {CUDA_ERROR_ILLEGAL_INSTRUCTION, "", "ERR_CUDA_IPC_FAULT", kFault},
    {CUDA_ERROR_MISALIGNED_ADDRESS, "", "ERR_CUDA_IPC_FAULT", kFault},
    {CUDA_ERROR_INVALID_ADDRESS_SPACE, "", "ERR_CUDA_IPC_FAULT", kFault},
    {CUDA_ERROR_INVALID_PC, "", "ERR_CUDA_IPC_FAULT", kFault},
    {CUDA_ERROR_LAUNCH_FAILED, "", "ERR_CUDA_IPC_FAULT", kFault},
    {CUDA_ERROR_ECC_UNCORRECTABLE, "", "ERR_CUDA_IPC_DEVICE_LOST", kDeviceLost},
    {CUDA_ERROR_NVLINK_UNCORRECTABLE, "", "ERR_CUDA_IPC_DEVICE_LOST", kDeviceLost},
    {CUDA_ERROR_DEVICE_UNAVAILABLE, "", "ERR_CUDA_IPC_DEVICE_UNAVAILABLE",
     "Another process holds the device exclusively, or it is being reset: look at nvidia-smi."},

    {CUDA_ERROR_INVALID_CONTEXT, "cuIpcOpen", "ERR_CUDA_IPC_SAME_PROCESS", kSameProcess},
    {CUDA_ERROR_INVALID_HANDLE, "cuIpcOpen", "ERR_CUDA_IPC_STALE_HANDLE", kStaleHandle},
    {CUDA_ERROR_MAP_FAILED, "cuIpcOpen", "ERR_CUDA_IPC_STALE_HANDLE", kStaleHandle},
    {CUDA_ERROR_INVALID_VALUE, "cuIpcOpen", "ERR_CUDA_IPC_STALE_HANDLE", kStaleHandle},
    {CUDA_ERROR_INVALID_VALUE, "cuIpcGetMemHandle", "ERR_CUDA_IPC_NOT_EXPORTABLE", kNotExportable},
    {CUDA_ERROR_NOT_SUPPORTED, "cuIpcGetMemHandle", "ERR_CUDA_IPC_NOT_EXPORTABLE", kNotExportable},
    {CUDA_ERROR_INVALID_VALUE, "cuIpcGetEventHandle", "ERR_CUDA_IPC_NOT_EXPORTABLE",
     "Only an event created with interprocess: true can be exported."},
    {CUDA_ERROR_INVALID_HANDLE, "cuIpcGetEventHandle", "ERR_CUDA_IPC_NOT_EXPORTABLE",
     "Only an event created with interprocess: true can be exported."},
    {CUDA_ERROR_NOT_SUPPORTED, "cuIpc", "ERR_CUDA_IPC_NOT_SUPPORTED",
     "CUDA IPC is not available here (it never is under WSL2 on older drivers). Share with vmm instead."},
    {CUDA_ERROR_INVALID_VALUE, "cuIpcCloseMemHandle", "ERR_CUDA_IPC_INVALID_POINTER", kPointer},

    {CUDA_ERROR_INVALID_VALUE, "cuMemImportFromShareableHandle", "ERR_CUDA_IPC_INVALID_FD", kImport},
    {CUDA_ERROR_INVALID_HANDLE, "cuMemImportFromShareableHandle", "ERR_CUDA_IPC_INVALID_FD", kImport},
    {CUDA_ERROR_INVALID_DEVICE, "cuMemImportFromShareableHandle", "ERR_CUDA_IPC_INVALID_FD", kImport},
    {CUDA_ERROR_OPERATING_SYSTEM, "cuMemImportFromShareableHandle", "ERR_CUDA_IPC_INVALID_FD", kImport},
    {CUDA_ERROR_UNKNOWN, "cuMemImportFromShareableHandle", "ERR_CUDA_IPC_INVALID_FD", kImport},
    {CUDA_ERROR_INVALID_VALUE, "cuMemMap", "ERR_CUDA_IPC_INVALID_ARGUMENT", kMapped},
    {CUDA_ERROR_NOT_SUPPORTED, "cuMemMap", "ERR_CUDA_IPC_INVALID_ARGUMENT", kMapped},
    {CUDA_ERROR_INVALID_VALUE, "cuMemAddressReserve", "ERR_CUDA_IPC_INVALID_ARGUMENT", kMapped},
    {CUDA_ERROR_NOT_SUPPORTED, "cuMemCreate", "ERR_CUDA_IPC_NOT_SUPPORTED",
     "The device has no virtual memory management with POSIX file descriptors. Share with ipc instead."},
    {CUDA_ERROR_NOT_PERMITTED, "cuMemCreate", "ERR_CUDA_IPC_NOT_SUPPORTED",
     "The device has no virtual memory management with POSIX file descriptors. Share with ipc instead."},

    {CUDA_ERROR_INVALID_VALUE, "cuMemFree", "ERR_CUDA_IPC_INVALID_POINTER", kPointer},
    {CUDA_ERROR_INVALID_VALUE, "cuPointerGetAttribute", "ERR_CUDA_IPC_INVALID_POINTER", kPointer},
    {CUDA_ERROR_INVALID_VALUE, "cuMemGetAddressRange", "ERR_CUDA_IPC_INVALID_POINTER", kPointer},
    {CUDA_ERROR_NOT_FOUND, "cuMemGetAddressRange", "ERR_CUDA_IPC_INVALID_POINTER", kPointer},
    {CUDA_ERROR_INVALID_VALUE, "cuMemcpy", "ERR_CUDA_IPC_CUDA", kCopy},
    {CUDA_ERROR_INVALID_VALUE, "cuMemset", "ERR_CUDA_IPC_CUDA", kCopy},

    {CUDA_ERROR_INVALID_IMAGE, "cuModuleLoadData", "ERR_CUDA_IPC_MODULE", kModule},
    {CUDA_ERROR_NO_BINARY_FOR_GPU, "cuModuleLoadData", "ERR_CUDA_IPC_MODULE", kModule},
    {CUDA_ERROR_INVALID_PTX, "cuModuleLoadData", "ERR_CUDA_IPC_MODULE", kModule},
    {CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "cuModuleLoadData", "ERR_CUDA_IPC_MODULE", kModule},
    {CUDA_ERROR_NOT_FOUND, "cuModuleGetFunction", "ERR_CUDA_IPC_NO_FUNCTION",
     "The module has no kernel of that name: names of C++ kernels are mangled unless they are extern \"C\"."},

    {CUDA_ERROR_NOT_READY, "", "ERR_CUDA_IPC_NOT_READY", "The work is not done yet: wait for it."},
    {CUDA_ERROR_DEINITIALIZED, "", "ERR_CUDA_IPC_CUDA", "The process is exiting and the driver has gone."},
    {CUDA_ERROR_INVALID_DEVICE, "", "ERR_CUDA_IPC_INVALID_DEVICE",
     "The device is not visible to this process: look at CUDA_VISIBLE_DEVICES, and name devices by UUID."},
    {CUDA_ERROR_OUT_OF_MEMORY, "", "ERR_CUDA_IPC_OUT_OF_MEMORY",
     "Free device memory, close other processes on the device (each holds a context of some 500 MiB), or "
     "use another device."},
};

constexpr const char* kElse = "The CUDA driver API's documentation of this function lists the reasons.";

constexpr const char* kFdLimit =
    "The limit on open file descriptors is reached: raise it (ulimit -n), or close what is not needed.";

// A call may need some at once, and has let go of those that it got.
constexpr int kOfOneCall = 4;

bool fds_are_short() {
  int found[kOfOneCall];
  int count = 0;
  while (count < kOfOneCall && (found[count] = ::open("/", O_PATH | O_CLOEXEC)) >= 0) ++count;
  const bool limit = count < kOfOneCall && (errno == EMFILE || errno == ENFILE);
  while (count > 0) ::close(found[--count]);
  return limit;
}

// The driver says "operating system" where it gets no descriptor, and for much else.
bool may_be_fd_limit(CUresult result, const std::string& function) {
  if (result != CUDA_ERROR_OPERATING_SYSTEM) return false;
  return function == "cuMemExportToShareableHandle" || fds_are_short();
}

bool fits(const Row& row, CUresult result, const std::string& call) {
  return row.result == result && call.compare(0, std::strlen(row.call), row.call) == 0;
}

std::string function_name(const char* call) {
  return std::string(call, std::strcspn(call, "( "));
}

}  // namespace

Error diagnose(const Table* table, CUresult result, const char* call) {
  const std::string function = function_name(call);
  if (may_be_fd_limit(result, function))
    return diagnose(table, result, call, "ERR_CUDA_IPC_FD_LIMIT", kFdLimit);
  for (const Row& row : kRows)
    if (fits(row, result, function)) return diagnose(table, result, call, row.code, row.advice);
  return diagnose(table, result, call, "ERR_CUDA_IPC_CUDA", kElse);
}

Error diagnose(const Table* table, CUresult result, const char* call, const char* code,
               const std::string& advice) {
  const char* name = nullptr;
  const char* text = nullptr;
  if (table != nullptr) {
    if (table->cuGetErrorName(result, &name) != CUDA_SUCCESS) name = nullptr;
    if (table->cuGetErrorString(result, &text) != CUDA_SUCCESS) text = nullptr;
  }
  const std::string function = function_name(call);
  const std::string shown = name != nullptr ? name : "an error unknown to the driver";
  Error error(code, function + " failed with " + shown + " (" + std::to_string(result) + ")" +
                        (text != nullptr ? std::string(": ") + text : std::string()) + ". " + advice);
  error.cuda_result = result;
  error.cuda_name = shown;
  error.call = function;
  return error;
}

}  // namespace cuda_ipc
