#include "channel/listener.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <vector>

#include "channel/bind.h"
#include "channel/errors.h"
#include "channel/message.h"
#include "channel/socket_option.h"

namespace cuda_ipc {

namespace {

constexpr int kAcceptsPerEvent = 32;
constexpr size_t kMostWaiting = 128;
constexpr std::chrono::milliseconds kRestAfterError(50);

}  // namespace

std::shared_ptr<Listener> Listener::open(const std::string& path, unsigned mode, int backlog,
                                         Handlers handlers) {
  Reactor::instance();  // whatever it lacks is better known before the file exists
  Fd socket = listen_at(path, mode, backlog);
  try {
    return start(std::move(socket), false, std::move(handlers));
  } catch (const Error&) {
    ::unlink(path.c_str());
    throw;
  }
}

std::shared_ptr<Listener> Listener::adopt(Fd socket, bool shared, Handlers handlers) {
  if (socket_option(socket.get(), SO_ACCEPTCONN) != 1 || socket_option(socket.get(), SO_DOMAIN) != AF_UNIX ||
      socket_option(socket.get(), SO_TYPE) != SOCK_STREAM)
    throw Error("ERR_CUDA_IPC_INVALID_ARGUMENT",
                "Expected a listening Unix socket for fd, but received another descriptor");
  const int flags = ::fcntl(socket.get(), F_GETFL);
  ::fcntl(socket.get(), F_SETFL, flags | O_NONBLOCK);
  return start(std::move(socket), shared, std::move(handlers));
}

std::shared_ptr<Listener> Listener::start(Fd socket, bool shared, Handlers handlers) {
  std::shared_ptr<Listener> self(new Listener(std::move(socket), shared, std::move(handlers)));
  std::lock_guard<std::mutex> lock(self->mutex_);
  self->registration_ = Reactor::instance().add(self->socket_.get(), EPOLLIN, self);
  self->watched_ = true;
  return self;
}

void Listener::handled() {
  std::lock_guard<std::mutex> lock(mutex_);
  --waiting_;
  if (waiting_ <= kMostWaiting / 2 && !resting_) watch(true);
}

void Listener::close() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!socket_) return;
  Reactor::instance().remove(registration_, socket_.get());
  if (!shared_) ::shutdown(socket_.get(), SHUT_RDWR);
  socket_.reset();
}

Fd Listener::detach() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!socket_) throw Error("ERR_CUDA_IPC_CLOSED", "This listener has been closed already");
  Reactor::instance().remove(registration_, socket_.get());
  return std::move(socket_);
}

void Listener::on_ready(uint32_t, Clock::time_point) {
  if (handlers_.on_knock) handlers_.on_knock();
  std::vector<std::shared_ptr<Channel>> channels;
  std::unique_ptr<Error> error;
  for (int i = 0; i < kAcceptsPerEvent; ++i) {
    std::shared_ptr<Channel> channel;
    if (!accept_one(channel, error)) break;
    if (!channel) continue;
    std::shared_ptr<ChannelObserver> attendant;
    if (handlers_.attendant) attendant = handlers_.attendant(channel->peer_uid());
    if (attendant) channel->expect_attendant();
    // First, for it takes a while to be heard.
    handlers_.on_connection(channel);
    if (attendant) attend(*channel, std::move(attendant));
    channels.push_back(std::move(channel));
  }
  for (const auto& channel : channels) describe(*channel);
  if (error) handlers_.on_error(std::move(*error));
}

// False when there is nothing more to accept for now.
bool Listener::accept_one(std::shared_ptr<Channel>& channel, std::unique_ptr<Error>& error) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!socket_ || waiting_ >= kMostWaiting) return false;
  Fd socket(::accept4(socket_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!socket) {
    if (errno == EINTR || errno == ECONNABORTED) return true;
    if (errno != EAGAIN && errno != EWOULDBLOCK)
      fail(channel_error(errno, "accepting a connection", "ERR_CUDA_IPC_SOCKET"), error);
    return false;
  }
  expect_descriptors_only(socket.get());
  try {
    Peer peer = read_peer(socket.get());
    if (!peer.process.pidfd) describe_peer(peer);
    channel = std::make_shared<Channel>(std::move(socket), std::move(peer));
  } catch (const Error& failure) {  // no descriptor left to hold its process with: it sees its connection end
    fail(failure, error);
    return false;
  }
  failing_ = false;
  if (++waiting_ >= kMostWaiting) watch(false);
  return true;
}

void Listener::attend(Channel& channel, std::shared_ptr<ChannelObserver> attendant) {
  try {
    channel.attend(std::move(attendant));
  } catch (const Error&) {  // whoever was told of it has somebody else attend it
  }
}

// A listener wants to know each of its peers: meanwhile, too, and not on its event loop.
void Listener::describe(Channel& channel) {
  try {
    channel.peer();
  } catch (const Error&) {  // whoever asks for it is told
  }
}

// Reported once, until a connection is accepted.
void Listener::fail(const Error& failure, std::unique_ptr<Error>& error) {
  pause_after_error();
  if (!failing_) error = std::make_unique<Error>(failure);
  failing_ = true;
}

// The connections wait in the backlog, and epoll would report them without end.
void Listener::pause_after_error() {
  resting_ = true;
  watch(false);
  Reactor::instance().after(kRestAfterError, [self = shared_from_this()] {
    std::lock_guard<std::mutex> lock(self->mutex_);
    self->resting_ = false;
    if (self->waiting_ < kMostWaiting) self->watch(true);
  });
}

void Listener::watch(bool on) {
  if (!socket_ || watched_ == on) return;
  Reactor::instance().modify(registration_, socket_.get(), on ? EPOLLIN : 0u);
  watched_ = on;
}

}  // namespace cuda_ipc
