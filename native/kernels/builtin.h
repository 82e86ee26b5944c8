// The kernels that come with the addon, loaded into a device on first use.
#pragma once

#include "driver/driver.h"

namespace cuda_ipc {

// The module image, zero-terminated, as cuModuleLoadData takes it: a comment line that names the kernels,
// then PTX where the addon was built with nvcc.
const char* builtin_image();

class BuiltinKernels {
 public:
  explicit BuiltinKernels(int device);
  BuiltinKernels(const BuiltinKernels&) = delete;
  BuiltinKernels& operator=(const BuiltinKernels&) = delete;

  cu::CUmodule module() const { return module_; }
  // `name` as in native/kernels/*.cu. With the device's context current.
  cu::CUfunction function(const char* name) const;

 private:
  cu::CUmodule module_ = nullptr;
};

// One module per process and device, loaded under a lock (some ms for the driver's compiler, so never on the
// event loop) and never unloaded, as the primary context it is in. Throws Error:
// ERR_CUDA_IPC_KERNELS_NOT_BUILT where the device needs the PTX and the addon has none. A failure may be
// tried again.
const BuiltinKernels& builtin_kernels(int device);

// A launch of one dimension. The arguments' types are those of the kernel's parameters.
template <class... Arguments>
void launch(cu::CUfunction function, unsigned blocks, unsigned threads, cu::CUstream stream,
            Arguments... arguments) {
  void* parameters[] = {&arguments...};
  CUDA_IPC_CHECK(cuLaunchKernel(function, blocks, 1, 1, threads, 1, 1, 0, stream, parameters, nullptr));
}

}  // namespace cuda_ipc
