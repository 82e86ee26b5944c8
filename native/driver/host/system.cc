#include "driver/host/system.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "driver/host/fd.h"

namespace cuda_ipc::host {
namespace {

struct ProcessState {
  char state = 0;
  uint64_t start_time = 0;
};

// Fields 3 and 22 of /proc/PID/stat. The name in field 2 may hold anything, so count from its last ")".
bool read_state(int pid, ProcessState& found) {
  char text[1024];
  std::snprintf(text, sizeof(text), "/proc/%d/stat", pid);
  const Fd file(open(text, O_RDONLY | O_CLOEXEC));
  if (!file) return false;
  const ssize_t length = read(file.get(), text, sizeof(text) - 1);
  if (length <= 0) return false;
  text[length] = 0;
  const char* field = std::strrchr(text, ')');
  if (field == nullptr || field[1] == 0) return false;
  field += 2;
  found.state = *field;
  for (int number = 3; number < 22 && field != nullptr; number++) {
    field = std::strchr(field, ' ');
    if (field != nullptr) field++;
  }
  if (field == nullptr) return false;
  found.start_time = std::strtoull(field, nullptr, 10);
  return true;
}

}  // namespace

uint64_t random_number() {
  uint64_t value;
  if (getrandom(&value, sizeof(value), 0) != sizeof(value))
    throw std::system_error(errno, std::generic_category(), "getrandom");
  return value;
}

// FNV-1a, finished with splitmix64's mixer so that every bit of the result is usable by itself.
uint64_t hash(const void* data, size_t bytes, uint64_t seed) {
  uint64_t value = 0xcbf29ce484222325ull ^ seed;
  for (size_t i = 0; i < bytes; i++)
    value = (value ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001b3ull;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ull;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebull;
  return value ^ (value >> 31);
}

size_t round_up(size_t bytes, size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

size_t page_size() {
  static const size_t size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

cu::CUresult result_of_errno(int error_number) {
  return error_number == ENOMEM ? cu::CUDA_ERROR_OUT_OF_MEMORY : cu::CUDA_ERROR_OPERATING_SYSTEM;
}

ProcessName this_process() {
  static const ProcessName name = [] {
    ProcessState found;
    read_state(getpid(), found);
    return ProcessName{getpid(), found.start_time};
  }();
  return name;
}

bool is_alive(const ProcessName& process) {
  ProcessState found;
  errno = 0;
  if (!read_state(process.pid, found)) return errno == EMFILE || errno == ENFILE;  // nothing to look with
  if (found.start_time != process.start_time) return false;
  if (found.state == 'Z' || found.state == 'X') return false;
  // Between the signal and the zombie a process drops its address space first and its descriptors second. The
  // link to its program goes with the former.
  char text[64], target[8];
  std::snprintf(text, sizeof(text), "/proc/%d/exe", process.pid);
  return readlink(text, target, sizeof(target)) >= 0 || errno != ENOENT;
}

uint64_t pid_namespace() {
  struct stat facts {};
  return stat("/proc/self/ns/pid", &facts) == 0 ? facts.st_ino : 0;
}

bool is_proven_dead(const ProcessName& process, uint64_t its_pid_namespace) {
  if (its_pid_namespace == 0 || its_pid_namespace != pid_namespace() || is_alive(process)) return false;
  // What /proc hides from this user is alive all the same.
  ProcessState found;
  return read_state(process.pid, found) || (kill(process.pid, 0) != 0 && errno == ESRCH);
}

std::string descriptor_path(const ProcessName& process, int fd) {
  return "/proc/" + std::to_string(process.pid) + "/fd/" + std::to_string(fd);
}

}  // namespace cuda_ipc::host
