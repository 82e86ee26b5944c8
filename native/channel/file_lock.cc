#include "channel/file_lock.h"

#include <sys/file.h>

#include "channel/errors.h"

namespace cuda_ipc {

namespace {

// There are file systems without ordinary files (/proc), and without locks.
constexpr char kElsewhere[] = ". Choose another folder for the socket";

bool lock(const Fd& file) {
  int result;
  do {
    result = ::flock(file.get(), LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  return result == 0;
}

}  // namespace

std::optional<Fd> lock_file(const std::string& path) {
  // O_NOFOLLOW: a link put there by somebody else must not make us create or hold another file.
  Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) throw channel_error(errno, "opening the lock file " + path, "ERR_CUDA_IPC_SYSTEM", kElsewhere);
  if (lock(file)) return file;
  if (errno == EWOULDBLOCK) return std::nullopt;
  throw channel_error(errno, "locking the file " + path, "ERR_CUDA_IPC_SYSTEM", kElsewhere);
}

Fd adopt_lock(Fd file) {
  // Where this open file holds the lock, to lock it again changes nothing.
  if (!lock(file))
    throw Error("ERR_CUDA_IPC_INVALID_ARGUMENT",
                "Expected a file that holds its lock for fd, but another process holds it");
  return file;
}

}  // namespace cuda_ipc
