// A module offers the host kernels that its image names.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "driver/host/kernel_registry.h"

namespace cuda_ipc::host {

class Context;

struct Function {
  Function(Context& context, const HostKernelEntry& kernel) : context(context), kernel(kernel) {}
  Context& context;
  const HostKernelEntry& kernel;
};

struct Module {
  explicit Module(Context& context) : context(context) {}
  Context& context;
  std::map<std::string, cu::CUfunction> functions;  // fixed once loaded
};

}  // namespace cuda_ipc::host
