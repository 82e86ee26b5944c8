#include "channel/file_lock.h"

#include <sys/file.h>

#include "channel/errors.h"

namespace cuda_ipc {

std::optional<Fd> lock_file(const std::string& path) {
  // O_NOFOLLOW: a link put there by somebody else must not make us create or hold another file.
  Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) throw channel_error(errno, "opening the lock file " + path, "ERR_CUDA_IPC_SYSTEM");
  int result;
  do {
    result = ::flock(file.get(), LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  if (result == 0) return file;
  if (errno == EWOULDBLOCK) return std::nullopt;
  throw channel_error(errno, "locking the file " + path, "ERR_CUDA_IPC_SYSTEM");
}

}  // namespace cuda_ipc
