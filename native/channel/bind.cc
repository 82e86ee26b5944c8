#include "channel/bind.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include "channel/errors.h"
#include "channel/unix_address.h"

namespace cuda_ipc {

namespace {

constexpr const char* kCode = "ERR_CUDA_IPC_SOCKET";

// The umask took away bits that were asked for: give them back. Through a descriptor of the file itself, so
// that whatever may stand at the path by now is not touched.
void widen(const std::string& path, unsigned mode) {
  const Fd file(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat facts;
  if (!file || ::fstat(file.get(), &facts) != 0)
    throw channel_error(errno, "looking at the socket " + path, kCode);
  if ((facts.st_mode & 07777) == mode) return;
  if (!S_ISSOCK(facts.st_mode) || facts.st_uid != ::geteuid())
    throw Error(kCode, "The socket " + path + " was replaced by something else while it was made");
  // fchmod() refuses O_PATH descriptors; their entry in /proc is the file without another lookup of its path.
  const std::string same = "/proc/self/fd/" + std::to_string(file.get());
  if (::chmod(same.c_str(), mode) != 0)
    throw channel_error(errno, "setting the mode of the socket " + path, kCode);
}

}  // namespace

Fd listen_at(const std::string& path, unsigned mode, int backlog) {
  const sockaddr_un address = unix_address(path);
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) throw channel_error(errno, "making a socket", kCode);
  // bind() makes the file with the mode of the socket's own inode, less the umask: set before, there is no
  // moment at which the file is wider. The umask itself belongs to the whole process and its threads: not
  // touched.
  if (::fchmod(socket.get(), mode) != 0) throw channel_error(errno, "setting the mode of a socket", kCode);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EADDRINUSE) {
      Error error("ERR_CUDA_IPC_ADDRESS_IN_USE",
                  "Something exists at " + path +
                      " already. Choose another path, or remove the file if nobody listens there");
      error.system_errno = EADDRINUSE;
      throw error;
    }
    throw channel_error(errno, "binding a socket to " + path, kCode);
  }
  try {
    widen(path, mode);
    if (::listen(socket.get(), backlog) != 0) throw channel_error(errno, "listening at " + path, kCode);
  } catch (const Error&) {
    ::unlink(path.c_str());  // it refuses connections, and stands in the way of the next attempt
    throw;
  }
  return socket;
}

}  // namespace cuda_ipc
