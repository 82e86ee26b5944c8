// cuLaunchKernel: the values of the parameters are copied, and the host implementation is queued.
#include <cstddef>
#include <cstring>

#include "driver/host/event.h"
#include "driver/host/module.h"
#include "driver/host/state.h"

namespace cuda_ipc::host {
namespace {

// What a kernel has touched stays mapped until it returns. Kernels see no state, so it hangs on the thread.
struct Running {
  int device;
  Pins pins;
};
thread_local Running* running = nullptr;

void* access(CUdeviceptr pointer, size_t bytes, bool write) {
  if (!state().memory.pin(pointer, bytes, write, running->device, running->pins)) return nullptr;
  return reinterpret_cast<void*>(pointer);
}

// The parameters' values, each aligned for any type.
class Parameters {
 public:
  Parameters(const std::vector<size_t>& sizes, void* const* values) {
    constexpr size_t kUnit = sizeof(std::max_align_t);
    size_t units = 0;
    for (const size_t size : sizes) units += (size + kUnit - 1) / kUnit;
    storage_.resize(units);
    std::max_align_t* place = storage_.data();
    for (size_t i = 0; i < sizes.size(); i++) {
      std::memcpy(place, values[i], sizes[i]);
      addresses_.push_back(place);
      place += (sizes[i] + kUnit - 1) / kUnit;
    }
  }
  Parameters(const Parameters&) = delete;
  Parameters& operator=(const Parameters&) = delete;

  void** addresses() { return addresses_.data(); }

 private:
  std::vector<std::max_align_t> storage_;
  std::vector<void*> addresses_;
};

bool is_allowed(const unsigned (&grid)[3], const unsigned (&block)[3], unsigned shared_bytes) {
  constexpr unsigned long long kThreads = 1024;
  constexpr unsigned kShared = 48 << 10;
  for (int axis = 0; axis < 3; axis++)
    if (grid[axis] == 0 || block[axis] == 0) return false;
  return grid[0] <= 0x7fffffffu && grid[1] <= 0xffffu && grid[2] <= 0xffffu && block[0] <= kThreads &&
         block[1] <= kThreads && block[2] <= 64 && 1ull * block[0] * block[1] * block[2] <= kThreads &&
         shared_bytes <= kShared;
}

}  // namespace

CUresult api::cuLaunchKernel(CUfunction handle, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                             unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                             CUstream stream_handle, void** parameters, void** extra) {
  Context* context = nullptr;
  CUresult result = current_context(context);
  if (result != CUDA_SUCCESS) return result;
  const auto function = state().functions.find(reinterpret_cast<uintptr_t>(handle));
  if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  const auto stream = find_stream(*context, stream_handle, result);
  if (stream == nullptr) return result;
  if (&stream->context != &function->context) return CUDA_ERROR_INVALID_HANDLE;
  const unsigned grid[] = {grid_x, grid_y, grid_z}, block[] = {block_x, block_y, block_z};
  const HostKernelEntry& kernel = function->kernel;
  // `extra`, the other way to pass parameters, is not used by anything above.
  if (!is_allowed(grid, block, shared_bytes) || extra != nullptr ||
      (parameters == nullptr && !kernel.parameter_sizes.empty()))
    return CUDA_ERROR_INVALID_VALUE;

  auto values = std::make_shared<Parameters>(kernel.parameter_sizes, parameters);
  HostLaunch launch{};
  std::memcpy(launch.grid, grid, sizeof(grid));
  std::memcpy(launch.block, block, sizeof(block));
  launch.parameters = values->addresses();
  launch.access = access;
  Work work;
  work.run = [run = kernel.run, device = stream->context.device, launch, values] {
    Running now{device, {}};
    running = &now;
    const CUresult outcome = run(launch);
    running = nullptr;
    return outcome;
  };
  stream->context.submit(stream, std::move(work));
  return CUDA_SUCCESS;
}

}  // namespace cuda_ipc::host
