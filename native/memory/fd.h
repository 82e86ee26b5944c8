// An owned file descriptor.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "driver/error.h"

namespace cuda_ipc {

// Move-only; its one undo call is close(). Whoever makes one sees to it that the descriptor is close-on-exec:
// one inherited by a child would pin device memory or a lock there. It is closed during process exit too,
// unlike the driver's resources: close() needs nothing that could be gone.
class Fd {
 public:
  Fd() noexcept = default;
  explicit Fd(int fd) noexcept : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  ~Fd() { reset(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }

  // Hands the descriptor to the caller, who closes it.
  int release() noexcept { return std::exchange(fd_, -1); }

  // Never retried on EINTR: Linux has closed the descriptor by then, and another thread may own its number.
  void reset(int fd = -1) noexcept {
    if (fd_ >= 0) {
      const int saved = errno;
      ::close(fd_);
      errno = saved;
    }
    fd_ = fd;
  }

  // A close-on-exec descriptor for the same open file.
  Fd duplicate() const { return duplicate_of(fd_); }
  static Fd duplicate_of(int fd) {
    const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) throw_system_error(errno, "duplicating a file descriptor");
    return Fd(copy);
  }

 private:
  int fd_ = -1;
};

}  // namespace cuda_ipc
