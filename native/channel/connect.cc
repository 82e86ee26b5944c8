#include "channel/connect.h"

#include <sys/socket.h>

#include <algorithm>

#include "channel/errors.h"
#include "channel/unix_address.h"

namespace cuda_ipc {

namespace {

constexpr std::chrono::milliseconds kFirstDelay(1);
constexpr std::chrono::milliseconds kLongestDelay(20);
constexpr std::chrono::seconds kPatience(30);

Error no_owner(const std::string& path, int error_number) {
  Error error("ERR_CUDA_IPC_NO_OWNER",
              error_number == ENOENT
                  ? "No owner listens at " + path +
                        ": there is no such file. Start the owner first, or give both the same socket path"
                  : "No owner listens at " + path +
                        ", although the file exists: its owner has ended, or it is no owner's socket. "
                        "Start the owner again, or give both the same socket path");
  error.system_errno = error_number;
  return error;
}

struct Attempt {
  std::string path;
  std::weak_ptr<void> wanted;
  Connected done;
  Clock::time_point deadline;
  std::chrono::milliseconds delay;
};

void try_again(const std::shared_ptr<Attempt>& attempt) {
  if (attempt->wanted.expired()) return;
  try {
    if (std::shared_ptr<Channel> channel = try_connect(attempt->path))
      return attempt->done(std::move(channel), std::nullopt);
    if (Clock::now() >= attempt->deadline)
      throw Error("ERR_CUDA_IPC_CONNECTION",
                  "The owner at " + attempt->path + " listens, but has accepted nobody for " +
                      std::to_string(kPatience.count()) + " s: it may be stopped or stuck");
    attempt->delay = std::min(attempt->delay * 2, kLongestDelay);
    Reactor::instance().after(attempt->delay, [attempt] { try_again(attempt); });
  } catch (const Error& error) {
    attempt->done(nullptr, error);
  }
}

}  // namespace

std::shared_ptr<Channel> try_connect(const std::string& path) {
  return try_connect(path, {});
}

std::shared_ptr<Channel> try_connect(const std::string& path, const std::vector<uint8_t>& first_words) {
  const sockaddr_un address = unix_address(path);
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) throw channel_error(errno, "connecting to " + path);
  int result;
  do {
    result = ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    if (errno == EAGAIN) return nullptr;
    if (errno == ENOENT || errno == ECONNREFUSED) throw no_owner(path, errno);
    throw channel_error(errno, "connecting to " + path);
  }
  const ssize_t sent = first_words.empty() ? 0
                                           : ::send(socket.get(), first_words.data(), first_words.size(),
                                                    MSG_NOSIGNAL | MSG_DONTWAIT);
  // What is said is not to be in vain for want of a descriptor.
  auto channel = std::make_shared<Channel>(std::move(socket));
  // What the kernel has not taken goes as all else does; and if the owner has gone, that shows there.
  const size_t said = sent > 0 ? static_cast<size_t>(sent) : 0;
  if (said < first_words.size()) channel->send(first_words.data() + said, first_words.size() - said, {});
  return channel;
}

void connect_later(const std::string& path, std::weak_ptr<void> wanted, Connected done) {
  auto attempt = std::make_shared<Attempt>(
      Attempt{path, std::move(wanted), std::move(done), Clock::now() + kPatience, kFirstDelay});
  Reactor::instance().after(kFirstDelay, [attempt] { try_again(attempt); });
}

}  // namespace cuda_ipc
