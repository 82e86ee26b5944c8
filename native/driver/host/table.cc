// The table: every function behind what all of them have in common.
#include <cerrno>
#include <cstdio>
#include <new>
#include <system_error>

#include "driver/host/exit_gate.h"
#include "driver/host/faults.h"
#include "driver/host/host.h"
#include "driver/host/state.h"
#include "driver/host/system.h"

namespace cuda_ipc::host {
namespace {

enum Number : size_t {
#define CU_FUNCTION(name, version, parameters) k_##name,
#include "driver/functions.def"
#undef CU_FUNCTION
};

constexpr bool works_before_init(size_t function) {
  return function == k_cuInit || function == k_cuDriverGetVersion || function == k_cuGetErrorName ||
         function == k_cuGetErrorString;
}

// Errors that end a context on a GPU, so no caller may see one and find the context working.
constexpr bool is_sticky(CUresult result) {
  switch (result) {
    case CUDA_ERROR_ECC_UNCORRECTABLE:
    case CUDA_ERROR_NVLINK_UNCORRECTABLE:
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_ASSERT:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_LAUNCH_FAILED:
      return true;
    default:
      return false;
  }
}

CUresult inject(size_t function) {
  const CUresult result = meet_fault(function);
  if (is_sticky(result))
    if (Context* context = current_context_or_null()) context->fail(result);
  return result;
}

CUresult before_call(size_t function) {
  if (function == k_cuGetErrorName || function == k_cuGetErrorString) return CUDA_SUCCESS;
  // The child of a fork() without exec() shares the parent's objects but none of its threads.
  if (state().forked) return CUDA_ERROR_NOT_INITIALIZED;
  if (gate_is_closed()) return CUDA_ERROR_DEINITIALIZED;
  static const bool readable = read_faults_from_environment();
  if (!readable) return CUDA_ERROR_INVALID_VALUE;
  if (const CUresult result = inject(function)) return result;
  return works_before_init(function) || state().initialized ? CUDA_SUCCESS : CUDA_ERROR_NOT_INITIALIZED;
}

template <size_t function, auto implementation>
struct Entry;

template <size_t function, typename... Arguments, CUresult (*implementation)(Arguments...)>
struct Entry<function, implementation> {
  static CUresult call(Arguments... arguments) {
    try {
      if (const CUresult result = before_call(function)) return result;
      return implementation(arguments...);
    } catch (const std::bad_alloc&) {
      return CUDA_ERROR_OUT_OF_MEMORY;
    } catch (const std::system_error& error) {  // a thread that could not be started
      return result_of_errno(error.code().value());
    }
  }
};

cu::Table make_table() {
  cu::Table made;
#define CU_FUNCTION(name, version, parameters) made.name = Entry<k_##name, &api::name>::call;
#include "driver/functions.def"
#undef CU_FUNCTION
  return made;
}

}  // namespace

const cu::Table& table() {
  static const cu::Table the_table = make_table();
  return the_table;
}

}  // namespace cuda_ipc::host
