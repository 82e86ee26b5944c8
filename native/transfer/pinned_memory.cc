#include "transfer/pinned_memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstdint>

#include "memory/undo.h"

namespace cuda_ipc {

namespace {

constexpr size_t kHugePage = size_t{2} << 20;

size_t round_up(size_t bytes) {
  return (bytes + kHugePage - 1) / kHugePage * kHugePage;
}

[[noreturn]] void throw_no_memory(size_t bytes, const char* call, int result) {
  Error error("ERR_CUDA_IPC_HOST_MEMORY",
              "The driver could not lock " + std::to_string(bytes) +
                  " bytes of host memory for staging. Free host memory, raise the limit of the container, or "
                  "load with fewer threads or smaller chunks.");
  error.cuda_result = result;
  error.call = call;
  error.details.emplace_back("neededBytes", bytes);
  throw error;
}

// Aligned, because only whole huge pages are huge: what is mapped around them is given back.
unsigned char* map_aligned(size_t bytes) {
  void* const mapped =
      ::mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw_no_memory(bytes, "mmap", 0);
  const auto begin = reinterpret_cast<uintptr_t>(mapped);
  const uintptr_t aligned = round_up(begin);
  if (aligned > begin) ::munmap(mapped, aligned - begin);
  if (const size_t tail = begin + kHugePage - aligned; tail > 0)
    ::munmap(reinterpret_cast<void*>(aligned + bytes), tail);
  ::madvise(reinterpret_cast<void*>(aligned), bytes, MADV_HUGEPAGE);
  // A natively forked child must not find the pages that the device reads from copied on write.
  ::madvise(reinterpret_cast<void*>(aligned), bytes, MADV_DONTFORK);
  return reinterpret_cast<unsigned char*>(aligned);
}

}  // namespace

PinnedMemory::PinnedMemory(int device, size_t bytes)
    : device_(device), bytes_(bytes), data_(map_aligned(round_up(bytes))) {}

size_t PinnedMemory::mapped_bytes() const {
  return round_up(bytes_);
}

void PinnedMemory::lock() {
  if (locked_) return;
  const cu::CUresult result = driver().cuMemHostRegister(data_, bytes_, cu::CU_MEMHOSTREGISTER_PORTABLE);
  if (result == cu::CUDA_ERROR_OUT_OF_MEMORY) throw_no_memory(bytes_, "cuMemHostRegister", result);
  if (result != cu::CUDA_SUCCESS) throw_cuda_error(result, "cuMemHostRegister");
  locked_ = true;
}

PinnedMemory::~PinnedMemory() {
  if (locked_)
    undo(device_,
         [this](const cu::Table& table) { locked_ = table.cuMemHostUnregister(data_) != cu::CUDA_SUCCESS; });
  // What the driver still has locked stays in memory whether it is mapped or not, and the driver refuses to
  // lock what is mapped at its address next. So is it while the process exits: a copy may still be reading.
  if (!locked_ && !process_is_exiting()) ::munmap(data_, mapped_bytes());
}

}  // namespace cuda_ipc
