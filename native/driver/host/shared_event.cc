#include "driver/host/shared_event.h"

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <ctime>

#include "driver/host/system.h"

namespace cuda_ipc::host {
namespace {

// How often a waiter looks whether the recording process still lives. The wake-up itself is immediate.
constexpr long kLivenessNanoseconds = 200 * 1000 * 1000;

// A process in one word, so that it is read and written whole: 22 bits of pid, 42 of start time.
uint64_t pack(const ProcessName& process) {
  return static_cast<uint64_t>(process.pid) << 42 | (process.start_time & ((1ull << 42) - 1));
}

ProcessName unpack(uint64_t word) {
  return {static_cast<int32_t>(word >> 42), word & ((1ull << 42) - 1)};
}

}  // namespace

struct SharedEvent::Page {
  std::atomic<uint32_t> begun;
  std::atomic<uint32_t> completed;  // the futex
  std::atomic<uint64_t> recorder;   // of the last record begun
};
static_assert(std::atomic<uint32_t>::is_always_lock_free && std::atomic<uint64_t>::is_always_lock_free,
              "the page is shared between processes");

cu::CUresult SharedEvent::map(Fd memory, std::shared_ptr<SharedEvent>& event) {
  void* page = mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
  if (page == MAP_FAILED) return result_of_errno(errno);
  event.reset(new SharedEvent(std::move(memory), static_cast<Page*>(page)));
  return cu::CUDA_SUCCESS;
}

cu::CUresult SharedEvent::create(std::shared_ptr<SharedEvent>& event) {
  Fd memory(memfd_create("cuda-ipc-host-event", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory || ftruncate(memory.get(), sizeof(Page)) != 0 ||
      fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return result_of_errno(errno);
  return map(std::move(memory), event);
}

cu::CUresult SharedEvent::open(Fd memory, std::shared_ptr<SharedEvent>& event) {
  struct stat facts {};
  if (fstat(memory.get(), &facts) != 0 || facts.st_size != sizeof(Page)) return cu::CUDA_ERROR_MAP_FAILED;
  return map(std::move(memory), event);
}

SharedEvent::~SharedEvent() {
  munmap(page_, sizeof(Page));
}

uint32_t SharedEvent::begin() {
  // Named before the number is taken: who sees the number sees who is to complete it.
  page_->recorder = pack(this_process());
  return ++page_->begun;
}

void SharedEvent::complete(uint32_t number) {
  uint32_t seen = page_->completed;
  while (static_cast<int32_t>(number - seen) > 0 && !page_->completed.compare_exchange_weak(seen, number)) {
  }
  syscall(SYS_futex, &page_->completed, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

uint32_t SharedEvent::last() const {
  return page_->begun;
}

bool SharedEvent::done(uint32_t number) {
  if (is_complete(number)) return true;
  if (is_alive(unpack(page_->recorder)) || is_complete(number)) return is_complete(number);
  complete(number);
  return true;
}

bool SharedEvent::is_complete(uint32_t number) const {
  return static_cast<int32_t>(page_->completed - number) >= 0;
}

void SharedEvent::wait(uint32_t number) {
  for (;;) {
    const uint32_t seen = page_->completed;
    if (static_cast<int32_t>(seen - number) >= 0) return;
    const timespec limit{0, kLivenessNanoseconds};
    const long woken = syscall(SYS_futex, &page_->completed, FUTEX_WAIT, seen, &limit, nullptr, 0);
    if (woken != 0 && errno == ETIMEDOUT && done(number)) return;
  }
}

}  // namespace cuda_ipc::host
