// What failed CUDA calls are taken for.
#include "driver/diagnosis.h"

#include <cerrno>

#include "check.h"

using namespace cuda_ipc;

namespace {

void expect(cu::CUresult result, const char* call, const char* code) {
  const Error error = diagnose(nullptr, result, call);
  if (error.code() != code) std::fprintf(stderr, "%s: %d is %s\n", call, result, error.code().c_str());
  CHECK(error.code() == code);
  CHECK(error.cuda_result == result);
}

}  // namespace

int main() {
  expect(cu::CUDA_ERROR_INVALID_CONTEXT, "cuIpcOpenMemHandle(&p, h, 1)", "ERR_CUDA_IPC_SAME_PROCESS");
  expect(cu::CUDA_ERROR_INVALID_CONTEXT, "cuIpcOpenEventHandle(&e, h)", "ERR_CUDA_IPC_SAME_PROCESS");
  expect(cu::CUDA_ERROR_INVALID_CONTEXT, "cuMemAlloc(&p, n)", "ERR_CUDA_IPC_CUDA");
  expect(cu::CUDA_ERROR_INVALID_HANDLE, "cuIpcOpenMemHandle", "ERR_CUDA_IPC_STALE_HANDLE");
  expect(cu::CUDA_ERROR_INVALID_VALUE, "cuIpcOpenMemHandle", "ERR_CUDA_IPC_STALE_HANDLE");
  expect(cu::CUDA_ERROR_MAP_FAILED, "cuIpcOpenEventHandle", "ERR_CUDA_IPC_STALE_HANDLE");
  expect(cu::CUDA_ERROR_INVALID_VALUE, "cuIpcGetMemHandle", "ERR_CUDA_IPC_NOT_EXPORTABLE");
  expect(cu::CUDA_ERROR_INVALID_HANDLE, "cuIpcGetEventHandle", "ERR_CUDA_IPC_NOT_EXPORTABLE");
  expect(cu::CUDA_ERROR_INVALID_VALUE, "cuIpcCloseMemHandle", "ERR_CUDA_IPC_INVALID_POINTER");
  expect(cu::CUDA_ERROR_UNKNOWN, "cuMemImportFromShareableHandle", "ERR_CUDA_IPC_INVALID_FD");
  expect(cu::CUDA_ERROR_INVALID_VALUE, "cuMemFree(pointer)", "ERR_CUDA_IPC_INVALID_POINTER");
  expect(cu::CUDA_ERROR_NOT_FOUND, "cuMemGetAddressRange", "ERR_CUDA_IPC_INVALID_POINTER");
  expect(cu::CUDA_ERROR_NOT_FOUND, "cuModuleGetFunction", "ERR_CUDA_IPC_NO_FUNCTION");
  expect(cu::CUDA_ERROR_INVALID_IMAGE, "cuModuleLoadData", "ERR_CUDA_IPC_MODULE");
  expect(cu::CUDA_ERROR_ILLEGAL_ADDRESS, "cuCtxSynchronize()", "ERR_CUDA_IPC_FAULT");
  expect(cu::CUDA_ERROR_LAUNCH_FAILED, "cuMemcpyDtoH", "ERR_CUDA_IPC_FAULT");
  expect(cu::CUDA_ERROR_ECC_UNCORRECTABLE, "cuMemcpyDtoH", "ERR_CUDA_IPC_DEVICE_LOST");
  expect(cu::CUDA_ERROR_NOT_INITIALIZED, "cuInit", "ERR_CUDA_IPC_FORKED");
  expect(cu::CUDA_ERROR_INVALID_VALUE, "cuInit", "ERR_CUDA_IPC_INVALID_ARGUMENT");
  expect(cu::CUDA_ERROR_OUT_OF_MEMORY, "cuStreamCreate", "ERR_CUDA_IPC_OUT_OF_MEMORY");
  expect(cu::CUDA_ERROR_INVALID_VALUE, "cuLaunchKernel", "ERR_CUDA_IPC_CUDA");
  expect(12345, "cuLaunchKernel", "ERR_CUDA_IPC_CUDA");

  const Error error = diagnose(nullptr, cu::CUDA_ERROR_INVALID_VALUE, "cuMemFree(some(pointer), 1)");
  CHECK(error.call == "cuMemFree");
  CHECK(contains(error.what(), "cuMemFree failed with"));
  CHECK(contains(error.what(), "(1)"));

  const Error limit = thrown("ERR_CUDA_IPC_FD_LIMIT", [] { throw_system_error(EMFILE, "opening a file"); });
  CHECK(limit.system_errno == EMFILE);
  CHECK(contains(limit.what(), "opening a file"));
  thrown("ERR_CUDA_IPC_SYSTEM", [] { throw_system_error(EIO, "opening a file"); });
}
