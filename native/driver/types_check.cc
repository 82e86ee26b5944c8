// Holds the hand-declared types, constants and signatures against NVIDIA's own header, where there is one.
// Nothing here makes it into the binary.
#include "driver/table.h"

#if __has_include(<cuda.h>)
#define CUDA_IPC_CUDA_H <cuda.h>
#define CUDA_IPC_TYPEDEFS_H <cudaTypedefs.h>
#elif __has_include("/usr/local/cuda/include/cuda.h")
#define CUDA_IPC_CUDA_H "/usr/local/cuda/include/cuda.h"
#define CUDA_IPC_TYPEDEFS_H "/usr/local/cuda/include/cudaTypedefs.h"
#endif

#ifdef CUDA_IPC_CUDA_H

// cuda.h makes macros of many function names (cuMemAlloc is cuMemAlloc_v2) and of some constants. So ours are
// given names of their own before it comes in.
namespace ours {
using namespace cuda_ipc::cu;

#define CU_FUNCTION(name, version, parameters) using name##_function = CUresult parameters;
#include "driver/functions.def"
#undef CU_FUNCTION

constexpr unsigned lazy_peer_access = CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS;
constexpr unsigned host_portable = CU_MEMHOSTALLOC_PORTABLE;
constexpr unsigned register_portable = CU_MEMHOSTREGISTER_PORTABLE;
}  // namespace ours

#include <type_traits>

#include CUDA_IPC_CUDA_H
#if __has_include(CUDA_IPC_TYPEDEFS_H)
#include CUDA_IPC_TYPEDEFS_H
#define CUDA_IPC_SIGNATURES
#endif

namespace {

// ---- constants ----

#define SAME(name) static_assert(static_cast<long long>(::name) == static_cast<long long>(ours::name), #name)
SAME(CUDA_SUCCESS);
SAME(CUDA_ERROR_INVALID_VALUE);
SAME(CUDA_ERROR_OUT_OF_MEMORY);
SAME(CUDA_ERROR_NOT_INITIALIZED);
SAME(CUDA_ERROR_DEINITIALIZED);
SAME(CUDA_ERROR_STUB_LIBRARY);
SAME(CUDA_ERROR_DEVICE_UNAVAILABLE);
SAME(CUDA_ERROR_NO_DEVICE);
SAME(CUDA_ERROR_INVALID_DEVICE);
SAME(CUDA_ERROR_INVALID_IMAGE);
SAME(CUDA_ERROR_INVALID_CONTEXT);
SAME(CUDA_ERROR_MAP_FAILED);
SAME(CUDA_ERROR_ALREADY_MAPPED);
SAME(CUDA_ERROR_NO_BINARY_FOR_GPU);
SAME(CUDA_ERROR_NOT_MAPPED);
SAME(CUDA_ERROR_ECC_UNCORRECTABLE);
SAME(CUDA_ERROR_PEER_ACCESS_UNSUPPORTED);
SAME(CUDA_ERROR_INVALID_PTX);
SAME(CUDA_ERROR_NVLINK_UNCORRECTABLE);
SAME(CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
SAME(CUDA_ERROR_OPERATING_SYSTEM);
SAME(CUDA_ERROR_INVALID_HANDLE);
SAME(CUDA_ERROR_ILLEGAL_STATE);
SAME(CUDA_ERROR_NOT_FOUND);
SAME(CUDA_ERROR_NOT_READY);
SAME(CUDA_ERROR_ILLEGAL_ADDRESS);
SAME(CUDA_ERROR_LAUNCH_TIMEOUT);
SAME(CUDA_ERROR_ASSERT);
SAME(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
SAME(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
SAME(CUDA_ERROR_HARDWARE_STACK_ERROR);
SAME(CUDA_ERROR_ILLEGAL_INSTRUCTION);
SAME(CUDA_ERROR_MISALIGNED_ADDRESS);
SAME(CUDA_ERROR_INVALID_ADDRESS_SPACE);
SAME(CUDA_ERROR_INVALID_PC);
SAME(CUDA_ERROR_LAUNCH_FAILED);
SAME(CUDA_ERROR_NOT_PERMITTED);
SAME(CUDA_ERROR_NOT_SUPPORTED);
SAME(CUDA_ERROR_SYSTEM_NOT_READY);
SAME(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH);
SAME(CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE);
SAME(CUDA_ERROR_MPS_CONNECTION_FAILED);
SAME(CUDA_ERROR_MPS_RPC_FAILURE);
SAME(CUDA_ERROR_MPS_SERVER_NOT_READY);
SAME(CUDA_ERROR_MPS_MAX_CLIENTS_REACHED);
SAME(CUDA_ERROR_MPS_MAX_CONNECTIONS_REACHED);
SAME(CUDA_ERROR_UNKNOWN);

SAME(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
SAME(CU_DEVICE_ATTRIBUTE_WARP_SIZE);
SAME(CU_DEVICE_ATTRIBUTE_CLOCK_RATE);
SAME(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
SAME(CU_DEVICE_ATTRIBUTE_INTEGRATED);
SAME(CU_DEVICE_ATTRIBUTE_COMPUTE_MODE);
SAME(CU_DEVICE_ATTRIBUTE_ECC_ENABLED);
SAME(CU_DEVICE_ATTRIBUTE_PCI_BUS_ID);
SAME(CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID);
SAME(CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE);
SAME(CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH);
SAME(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
SAME(CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING);
SAME(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
SAME(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
SAME(CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED);
SAME(CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED);
#if CUDA_VERSION >= 12000
SAME(CU_DEVICE_ATTRIBUTE_IPC_EVENT_SUPPORTED);
#endif

SAME(CU_COMPUTEMODE_DEFAULT);
SAME(CU_COMPUTEMODE_PROHIBITED);
SAME(CU_COMPUTEMODE_EXCLUSIVE_PROCESS);

SAME(CU_POINTER_ATTRIBUTE_CONTEXT);
SAME(CU_POINTER_ATTRIBUTE_MEMORY_TYPE);
SAME(CU_POINTER_ATTRIBUTE_DEVICE_POINTER);
SAME(CU_POINTER_ATTRIBUTE_IS_MANAGED);
SAME(CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL);
SAME(CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE);
SAME(CU_POINTER_ATTRIBUTE_RANGE_START_ADDR);
SAME(CU_POINTER_ATTRIBUTE_RANGE_SIZE);
SAME(CU_POINTER_ATTRIBUTE_MAPPED);
SAME(CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES);

SAME(CU_MEM_ALLOCATION_TYPE_PINNED);
SAME(CU_MEM_LOCATION_TYPE_DEVICE);
SAME(CU_MEM_HANDLE_TYPE_NONE);
SAME(CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
SAME(CU_MEM_ALLOC_GRANULARITY_MINIMUM);
SAME(CU_MEM_ALLOC_GRANULARITY_RECOMMENDED);
SAME(CU_MEM_ACCESS_FLAGS_PROT_NONE);
SAME(CU_MEM_ACCESS_FLAGS_PROT_READ);
SAME(CU_MEM_ACCESS_FLAGS_PROT_READWRITE);

static_assert(::CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS == static_cast<int>(ours::lazy_peer_access));
static_assert(CU_MEMHOSTALLOC_PORTABLE == ours::host_portable);
static_assert(CU_MEMHOSTREGISTER_PORTABLE == ours::register_portable);
SAME(CU_STREAM_DEFAULT);
SAME(CU_STREAM_NON_BLOCKING);
SAME(CU_EVENT_DEFAULT);
SAME(CU_EVENT_BLOCKING_SYNC);
SAME(CU_EVENT_DISABLE_TIMING);
SAME(CU_EVENT_INTERPROCESS);
SAME(CU_CTX_SCHED_BLOCKING_SYNC);
#undef SAME

// ---- structures ----

#define SAME_LAYOUT(type) \
  static_assert(sizeof(::type) == sizeof(ours::type) && alignof(::type) == alignof(ours::type), #type)
#define SAME_OFFSET(type, member) \
  static_assert(offsetof(::type, member) == offsetof(ours::type, member), #type "." #member)
SAME_LAYOUT(CUresult);
SAME_LAYOUT(CUdevice);
SAME_LAYOUT(CUdeviceptr);
SAME_LAYOUT(CUcontext);
SAME_LAYOUT(CUmemGenericAllocationHandle);
SAME_LAYOUT(CUuuid);
SAME_LAYOUT(CUipcMemHandle);
SAME_LAYOUT(CUipcEventHandle);
SAME_LAYOUT(CUmemLocation);
SAME_OFFSET(CUmemLocation, type);
SAME_OFFSET(CUmemLocation, id);
SAME_LAYOUT(CUmemAllocationProp);
SAME_OFFSET(CUmemAllocationProp, type);
SAME_OFFSET(CUmemAllocationProp, requestedHandleTypes);
SAME_OFFSET(CUmemAllocationProp, location);
SAME_OFFSET(CUmemAllocationProp, win32HandleMetaData);
SAME_OFFSET(CUmemAllocationProp, allocFlags);
SAME_OFFSET(CUmemAllocationProp, allocFlags.compressionType);
SAME_OFFSET(CUmemAllocationProp, allocFlags.gpuDirectRDMACapable);
SAME_OFFSET(CUmemAllocationProp, allocFlags.usage);
SAME_LAYOUT(CUmemAccessDesc);
SAME_OFFSET(CUmemAccessDesc, location);
SAME_OFFSET(CUmemAccessDesc, flags);
#undef SAME_LAYOUT
#undef SAME_OFFSET

// ---- functions ----

// Passed in the same way: both integers or enumerations, both floating point, both structures, or both
// pointers, of one size. What a pointer points to is compared by the same rule; opaque and void pointees fit
// anything.
template <class T, class = void>
struct SizeOf : std::integral_constant<size_t, 0> {};
template <class T>
struct SizeOf<T, std::enable_if_t<!std::is_void_v<T> && (sizeof(T) > 0)>>
    : std::integral_constant<size_t, sizeof(T)> {};

template <class Theirs, class Ours>
constexpr bool same_kind() {
  if constexpr (std::is_pointer_v<Theirs> && std::is_pointer_v<Ours>) {
    using T = std::remove_cv_t<std::remove_pointer_t<Theirs>>;
    using O = std::remove_cv_t<std::remove_pointer_t<Ours>>;
    if constexpr (SizeOf<T>::value == 0 || SizeOf<O>::value == 0) return SizeOf<T>::value == SizeOf<O>::value;
    if constexpr (SizeOf<T>::value != 0 && SizeOf<O>::value != 0) return same_kind<T, O>();
    return true;
  } else {
    constexpr bool integers = (std::is_integral_v<Theirs> ||
                               std::is_enum_v<Theirs>)&&(std::is_integral_v<Ours> || std::is_enum_v<Ours>);
    constexpr bool floats = std::is_floating_point_v<Theirs> && std::is_floating_point_v<Ours>;
    constexpr bool structures = std::is_class_v<Theirs> && std::is_class_v<Ours>;
    return (integers || floats || structures) && SizeOf<Theirs>::value == SizeOf<Ours>::value;
  }
}

template <class Theirs, class Ours>
struct Compatible : std::false_type {};
template <class ResultT, class... T, class ResultO, class... O>
struct Compatible<ResultT (*)(T...), ResultO(O...)> {
  static constexpr bool compare() {
    if constexpr (sizeof...(T) == sizeof...(O))
      return same_kind<ResultT, ResultO>() && (same_kind<T, O>() && ...);
    return false;
  }
  static constexpr bool value = compare();
};
static_assert(!Compatible<int (*)(int*), int(int)>::value && !Compatible<int (*)(), int(int)>::value &&
              !Compatible<int (*)(size_t*), int(int*)>::value);

// The toolkit's own names for "this function as of that version", so a wrong version does not compile either.
#ifdef CUDA_IPC_SIGNATURES
#define CU_FUNCTION(name, version, parameters) \
  static_assert(Compatible<PFN_##name##_v##version, ours::name##_function>::value, #name);
#include "driver/functions.def"
#undef CU_FUNCTION
#endif

}  // namespace

#endif
