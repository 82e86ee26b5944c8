#include "driver/host/allocation.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>

#include "driver/host/machine_lock.h"
#include "driver/host/state.h"
#include "driver/host/system.h"

namespace cuda_ipc::host {
namespace {

// Sealed at its size, so that nobody who gets the descriptor can make a mapping of it raise SIGBUS.
cu::CUresult create_memory(size_t bytes, Fd& memory, uint64_t& inode) {
  Fd fd(memfd_create("cuda-ipc-host", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return result_of_errno(errno);
  struct stat facts {};
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0 || fstat(fd.get(), &facts) != 0 ||
      fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return errno == EFBIG || errno == EINVAL ? CUDA_ERROR_OUT_OF_MEMORY : result_of_errno(errno);
  inode = facts.st_ino;
  memory = std::move(fd);
  return CUDA_SUCCESS;
}

}  // namespace

CUresult allocate(int device, size_t bytes, std::shared_ptr<Allocation>& allocation) {
  const Device& facts = state().config.devices[static_cast<size_t>(device)];
  if (bytes > facts.memory) return CUDA_ERROR_OUT_OF_MEMORY;
  auto made = std::make_shared<Allocation>();
  made->device = device;
  made->name = {state().config.scope, facts.index, bytes, random_number()};
  if (const CUresult result = create_memory(bytes, made->memory, made->inode)) return result;

  const MachineLock lock(made->name.scope);
  if (!lock) return result_of_errno(errno);
  uint64_t used = 0;
  if (const CUresult result = count_bytes(made->name.scope, facts.index, used)) return result;
  if (used > facts.memory || bytes > facts.memory - used) return CUDA_ERROR_OUT_OF_MEMORY;
  if (const CUresult result = create_token(made->name, made->token)) return result;
  allocation = std::move(made);
  return CUDA_SUCCESS;
}

CUresult export_allocation(Allocation& allocation, Fd& descriptor) {
  const std::lock_guard<std::mutex> lock(allocation.mutex);
  Fd copy = allocation.token.duplicate();
  if (!copy) return result_of_errno(errno);
  if (!allocation.loaded) {
    if (const CUresult result = load_token(allocation.token, allocation.name, allocation.memory))
      return result;
    allocation.loaded = true;
  }
  descriptor = std::move(copy);
  return CUDA_SUCCESS;
}

CUresult import_allocation(int descriptor, std::shared_ptr<Allocation>& allocation) {
  auto made = std::make_shared<Allocation>();
  const auto result = read_token(descriptor, state().config.scope, made->name, made->memory);
  if (result != CUDA_SUCCESS) return result;
  made->device = state().ordinal_of(made->name.device);
  if (made->device < 0) return CUDA_ERROR_INVALID_DEVICE;
  made->token = Fd(fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
  if (!made->token) return result_of_errno(errno);
  made->loaded = true;
  allocation = std::move(made);
  return CUDA_SUCCESS;
}

}  // namespace cuda_ipc::host
