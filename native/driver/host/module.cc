#include "driver/host/module.h"

#include <cstring>
#include <sstream>

#include "driver/host/state.h"

namespace cuda_ipc::host {
namespace {

// What the built-in image begins with: there is no length, so nothing behind a mismatch is looked at.
constexpr char kFirstWords[] = "// cuda-ipc kernels:";

bool read_names(const void* image, std::vector<std::string>& names) {
  const char* text = static_cast<const char*>(image);
  const size_t length = sizeof(kFirstWords) - 1;
  if (std::strncmp(text, kFirstWords, length) != 0) return false;
  std::istringstream line(std::string(text + length, std::strcspn(text + length, "\r\n")));
  for (std::string name; line >> name;) names.push_back(name);
  return true;
}

}  // namespace

namespace api {

CUresult cuModuleLoadData(CUmodule* module, const void* image) {
  Context* context = nullptr;
  if (const CUresult result = current_context(context)) return result;
  if (module == nullptr || image == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::vector<std::string> names;
  if (!read_names(image, names)) return CUDA_ERROR_INVALID_IMAGE;
  auto loaded = std::make_shared<Module>(*context);
  for (const std::string& name : names) {
    const HostKernelEntry* kernel = find_host_kernel(name.c_str());
    if (kernel == nullptr || loaded->functions.count(name) > 0) continue;
    const uintptr_t handle = state().functions.add(std::make_shared<Function>(*context, *kernel));
    loaded->functions.emplace(name, reinterpret_cast<CUfunction>(handle));
  }
  *module = reinterpret_cast<CUmodule>(state().modules.add(std::move(loaded)));
  return CUDA_SUCCESS;
}

CUresult cuModuleUnload(CUmodule handle) {
  const auto module = state().modules.take(reinterpret_cast<uintptr_t>(handle));
  if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  for (const auto& [name, function] : module->functions)
    state().functions.take(reinterpret_cast<uintptr_t>(function));
  return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(CUfunction* function, CUmodule handle, const char* name) {
  if (function == nullptr || name == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const auto module = state().modules.find(reinterpret_cast<uintptr_t>(handle));
  if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  const auto found = module->functions.find(name);
  if (found == module->functions.end()) return CUDA_ERROR_NOT_FOUND;
  *function = found->second;
  return CUDA_SUCCESS;
}

}  // namespace api
}  // namespace cuda_ipc::host
