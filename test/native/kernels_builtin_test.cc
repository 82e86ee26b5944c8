// The embedded image names every kernel, whether nvcc was there or not, and the host driver has them all.
#include "kernels/builtin.h"

#include <sstream>
#include <string>

#include "check.h"
#include "driver/host/kernel_registry.h"
#include "fresh_scope.h"

using namespace cuda_ipc;

int main() {
  std::istringstream image(builtin_image());
  std::string line;
  CHECK(std::getline(image, line));
  const std::string introduction = "// cuda-ipc kernels: ";
  CHECK(line.rfind(introduction, 0) == 0);
  std::istringstream names(line.substr(introduction.size()));
  int count = 0;
  for (std::string name; names >> name; ++count) CHECK(host::find_host_kernel(name.c_str()) != nullptr);
  CHECK(count == 11);

  use_fresh_scope();
  choose_provider("host");
  const ContextScope scope(0);
  CHECK(&builtin_kernels(0) == &builtin_kernels(0));
  CHECK(builtin_kernels(0).function("cuda_ipc_fill_u32") != nullptr);
  CHECK(builtin_kernels(1).module() != builtin_kernels(0).module());
  thrown("ERR_CUDA_IPC_NO_FUNCTION", [] { builtin_kernels(0).function("no_such_kernel"); });
}
