#include "kernels/builtin.h"

#include <map>
#include <memory>
#include <mutex>

namespace cuda_ipc {

namespace {

#include "kernels_ptx.inc"

// Never destroyed: pool threads may use the modules while the process exits.
struct Loaded {
  std::mutex mutex;
  std::map<int, std::unique_ptr<BuiltinKernels>> of_device;
};

Loaded& loaded() {
  static Loaded* const instance = new Loaded;
  return *instance;
}

bool image_was_refused(cu::CUresult result) {
  return result == cu::CUDA_ERROR_INVALID_IMAGE || result == cu::CUDA_ERROR_INVALID_PTX ||
         result == cu::CUDA_ERROR_NO_BINARY_FOR_GPU || result == cu::CUDA_ERROR_INVALID_VALUE;
}

[[noreturn]] void throw_not_built(cu::CUresult result) {
  Error error(
      "ERR_CUDA_IPC_KERNELS_NOT_BUILT",
      "This build of cuda-ipc has no GPU kernels, because no CUDA compiler was found when it was built, and "
      "the "
      "package brought none along. "
      "Install nvcc (CUDA toolkit 11.8 or later, in PATH or /usr/local/cuda, or named by CUDA_HOME) and "
      "run `npm rebuild cuda-ipc`.");
  error.cuda_result = result;
  error.call = "cuModuleLoadData";
  throw error;
}

}  // namespace

const char* builtin_image() {
  return kKernelImage;
}

BuiltinKernels::BuiltinKernels(int device) {
  const ContextScope scope(device);
  const cu::CUresult result = driver().cuModuleLoadData(&module_, builtin_image());
  if (result == cu::CUDA_SUCCESS) return;
  if (!kKernelsEmbedded && image_was_refused(result)) throw_not_built(result);
  throw_cuda_error(result, "cuModuleLoadData");
}

cu::CUfunction BuiltinKernels::function(const char* name) const {
  cu::CUfunction function = nullptr;
  CUDA_IPC_CHECK(cuModuleGetFunction(&function, module_, name));
  return function;
}

const BuiltinKernels& builtin_kernels(int device) {
  driver();  // refuses a natively forked child, whose copy of the map means nothing
  Loaded& l = loaded();
  std::lock_guard<std::mutex> lock(l.mutex);
  std::unique_ptr<BuiltinKernels>& kernels = l.of_device[device];
  if (!kernels) kernels = std::make_unique<BuiltinKernels>(device);
  return *kernels;
}

}  // namespace cuda_ipc
