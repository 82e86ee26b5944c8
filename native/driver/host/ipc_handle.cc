#include "driver/host/ipc_handle.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "driver/host/state.h"

namespace cuda_ipc::host {
namespace {

uint64_t checksum(const IpcHandle& handle) {
  return hash(&handle, offsetof(IpcHandle, checksum));
}

ExporterState why_missing(const IpcHandle& handle) {
  return is_alive(handle.process()) ? ExporterState::kFreed : ExporterState::kDead;
}

}  // namespace

void write_ipc_handle(IpcHandle handle, char* bytes) {
  const ProcessName self = this_process();
  handle.pid = self.pid;
  handle.start_time = self.start_time;
  handle.scope = state().config.scope;
  handle.checksum = checksum(handle);
  std::memcpy(bytes, &handle, sizeof(handle));
}

bool read_ipc_handle(const char* bytes, IpcKind kind, IpcHandle& handle) {
  std::memcpy(&handle, bytes, sizeof(handle));
  return handle.kind == kind && handle.scope == state().config.scope && handle.checksum == checksum(handle);
}

bool is_own(const IpcHandle& handle) {
  const ProcessName self = this_process();
  return handle.pid == self.pid && handle.start_time == self.start_time;
}

ExporterState find_exported(const IpcHandle& handle) {
  struct stat facts {};
  const std::string path = descriptor_path(handle.process(), handle.descriptor);
  if (stat(path.c_str(), &facts) != 0) return errno == EACCES ? ExporterState::kThere : why_missing(handle);
  return facts.st_ino == handle.inode ? ExporterState::kThere : why_missing(handle);
}

ExporterState open_exported(const IpcHandle& handle, Fd& descriptor) {
  const std::string path = descriptor_path(handle.process(), handle.descriptor);
  Fd opened(open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!opened) {
    const int why = errno;
    const bool missing = why == ENOENT || why == ESRCH || why == ENXIO;
    const ExporterState found = missing ? why_missing(handle) : ExporterState::kThere;
    errno = why;
    return found;
  }
  // The number may by now stand for something else, or the process for another one.
  struct stat facts {};
  if (fstat(opened.get(), &facts) != 0 || facts.st_ino != handle.inode || !is_alive(handle.process()))
    return why_missing(handle);
  descriptor = std::move(opened);
  return ExporterState::kThere;
}

}  // namespace cuda_ipc::host
