#include "channel/channel.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include "channel/errors.h"
#include "channel/message.h"

namespace cuda_ipc {

namespace {

constexpr size_t kReadBytes = 64 << 10;
constexpr int kReadsPerEvent = 16;  // then the other sockets have their turn
constexpr std::chrono::milliseconds kRetryDelay(5);

}  // namespace

void Channel::attend(std::shared_ptr<ChannelObserver> observer) {
  std::lock_guard<std::mutex> lock(mutex_);
  attendant_expected_ = false;
  attendant_came_.notify_all();
  if (started_ || attended_)
    throw Error("ERR_CUDA_IPC_INVALID_STATE",
                "This channel has been started already: what has arrived before cannot be seen any more");
  observer_ = std::move(observer);
  if (observer_) observer_->meets(peer_.process);
  attended_ = true;
  // Who connects speaks at once, as a rule.
  if (wants_input()) receive();
  settle();
}

std::shared_ptr<ChannelObserver> Channel::observer() {
  std::lock_guard<std::mutex> lock(mutex_);
  return observer_;
}

void Channel::start(std::function<void()> wake) {
  std::unique_lock<std::mutex> lock(mutex_);
  attendant_came_.wait(lock, [this] { return !attendant_expected_; });
  if (started_)
    throw Error("ERR_CUDA_IPC_INVALID_STATE",
                "This channel has been started already: give it its events only once");
  wake_ = std::move(wake);
  started_ = true;
  // A peer that speaks first has done so by now, as a rule: that spares a trip to the reactor's thread.
  if (wants_input()) receive();
  settle();
  unlock_and_wake(lock);
}

std::optional<Channel::Event> Channel::next() {
  std::lock_guard<std::mutex> lock(mutex_);
  wake_claimed_ = false;
  if (!deliverable()) return std::nullopt;
  if (drained_) {
    drained_ = false;
    return Drained{};
  }
  if (!inbox_.empty()) {
    const bool was_full = inbox_.full();
    Data data = inbox_.pop();
    if (was_full && !inbox_.full()) settle();
    return data;
  }
  if (socket_) flush();
  close_socket();
  finished_ = true;
  part_with_peer();
  return Closed{std::move(end_error_)};
}

void Channel::wake_for_more() {
  std::unique_lock<std::mutex> lock(mutex_);
  unlock_and_wake(lock);
}

bool Channel::send(const uint8_t* bytes, size_t size, const std::vector<int>& fds) {
  if (size < (fds.empty() ? 0 : Outbox::messages_for(fds.size())))
    throw Error("ERR_CUDA_IPC_INVALID_ARGUMENT", std::to_string(fds.size()) + " descriptors need at least " +
                                                     std::to_string(Outbox::messages_for(fds.size())) +
                                                     " bytes to travel with, but got " +
                                                     std::to_string(size));
  std::unique_lock<std::mutex> lock(mutex_);
  if (closed_ || finished_)
    throw Error("ERR_CUDA_IPC_CLOSED", "This channel is closed: nothing can be sent on it");
  if (broken_ || !socket_) return false;  // Closed is on its way, behind what the peer had sent
  note(outbox_.send(socket_.get(), bytes, size, fds.data(), fds.size()));
  const bool taken = outbox_.empty() && !broken_;
  if (!taken) {
    drain_owed_ = true;
    drained_ = false;
  }
  settle();
  unlock_and_wake(lock);
  return taken;
}

void Channel::pause() {
  std::lock_guard<std::mutex> lock(mutex_);
  paused_ = true;
  settle();
}

void Channel::resume() {
  std::unique_lock<std::mutex> lock(mutex_);
  paused_ = false;
  settle();
  unlock_and_wake(lock);
}

void Channel::close() {
  std::unique_lock<std::mutex> lock(mutex_);
  closed_ = true;
  if (!socket_) {
    paused_ = false;  // for what was received before
  } else {
    flush();
    if (!ended_) end(std::nullopt);
    paused_ = false;
    close_socket();
  }
  if (!started_) {  // as a rule it never is any more, and what has come holds descriptors
    inbox_.clear();
    part_with_peer();
  }
  unlock_and_wake(lock);
}

void Channel::abandon() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (socket_) flush();
  finish();
}

void Channel::abandon(const std::vector<uint8_t>& last_words) {
  std::lock_guard<std::mutex> lock(mutex_);
  flush();
  // Behind what the kernel has not taken they are only kept, and go with the channel.
  if (socket_ && !broken_) outbox_.send(socket_.get(), last_words.data(), last_words.size(), nullptr, 0);
  finish();
}

void Channel::finish() {
  close_socket();
  ended_ = finished_ = true;
  inbox_.clear();
  part_with_peer();
}

const Peer& Channel::peer() {
  std::lock_guard<std::mutex> lock(mutex_);
  complete_peer();
  return peer_;
}

void Channel::complete_peer() {
  if (described_) return;
  if (!peer_read_) {
    if (!socket_) throw Error("ERR_CUDA_IPC_CLOSED", "This channel is closed: ask for its peer before that");
    peer_ = read_peer(socket_.get());
    if (!peer_.process.pidfd) describe_peer(peer_);
  }
  peer_read_ = true;
  if (peer_.process.start_time.empty() && peer_.process.pidfd) describe_peer(peer_);
  described_ = true;
}

// Whoever has seen what the peer was sent may want to know of its death still.
void Channel::part_with_peer() {
  Fd pidfd = std::move(peer_.process.pidfd);
  if (observer_ && pidfd) observer_->parts(std::move(pidfd));
}

ProcessHandle Channel::open_peer() {
  std::lock_guard<std::mutex> lock(mutex_);
  complete_peer();
  const ProcessHandle& process = peer_.process;
  if (process.pidfd) return process.duplicate();
  if (process.gone) return {process.pid, process.start_time, Fd(), true};
  if (finished_ || closed_unstarted())
    throw Error("ERR_CUDA_IPC_CLOSED", "This channel is closed: watch its peer before that");
  throw Error(
      "ERR_CUDA_IPC_PEER_UNPROVEN",
      "The death of the peer (pid " + std::to_string(process.pid) +
          ") could not be proven, because the system gives no pidfd for it. Use Linux 6.5 or newer, or "
          "run both processes in one PID namespace on Linux 5.3 or newer");
}

int Channel::fd() {
  std::lock_guard<std::mutex> lock(mutex_);
  return socket_.get();
}

size_t Channel::queued_bytes() {
  std::lock_guard<std::mutex> lock(mutex_);
  return outbox_.bytes();
}

bool Channel::finished() {
  std::lock_guard<std::mutex> lock(mutex_);
  return finished_ || closed_unstarted();
}

void Channel::on_ready(uint32_t events, Clock::time_point) {
  std::unique_lock<std::mutex> lock(mutex_);
  // Hang-ups and errors show as the failure of the call that is tried.
  if ((events & ~EPOLLOUT) != 0) receive();
  if ((events & ~EPOLLIN) != 0 && !retrying_) flush();
  settle();
  unlock_and_wake(lock);
}

bool Channel::wants_input() const {
  return socket_ && (started_ || attended_) && !paused_ && !ended_ && !inbox_.full();
}

void Channel::receive() {
  static thread_local std::vector<uint8_t> buffer(kReadBytes);
  const auto answers = [this](const uint8_t* bytes, size_t size, const std::vector<int>& fds) {
    return answer(bytes, size, fds);
  };
  for (int i = 0; i < kReadsPerEvent && wants_input(); ++i) {
    Received received = receive_message(socket_.get(), buffer.data(), buffer.size());
    switch (received.status) {
      case Received::Status::kData: {
        Inbox::Data data{{buffer.data(), buffer.data() + received.size}, std::move(received.fds)};
        if (observer_) observer_->received(data, answers);
        inbox_.push(std::move(data));
        break;
      }
      case Received::Status::kNothingYet:
        // A peer that only takes nothing more, and is not at its end, would never be noticed to have gone.
        if (broken_) end(std::move(broken_));
        return;
      case Received::Status::kEnd:
        return end(std::move(broken_));
      case Received::Status::kTruncated:
        return end(
            Error("ERR_CUDA_IPC_FD_LIMIT",
                  "Descriptors sent by the peer were lost because this process is at its limit of open "
                  "files. Raise it (ulimit -n)"));
      case Received::Status::kFailed:
        return end(channel_error(received.error_number, "receiving from the peer"));
    }
  }
}

// An attended channel's peer must read: its answers are not to pile up behind what it leaves unread.
bool Channel::answer(const uint8_t* bytes, size_t size, const std::vector<int>& fds) {
  if (broken_ || !outbox_.empty()) return false;
  try {
    note(outbox_.send(socket_.get(), bytes, size, fds.data(), fds.size()));
  } catch (const Error&) {
    return false;
  }
  return true;
}

void Channel::flush() {
  if (socket_ && !outbox_.empty()) note(outbox_.flush(socket_.get()));
}

void Channel::note(Outbox::State state) {
  switch (state) {
    case Outbox::State::kEmpty:
      drained_ = drained_ || drain_owed_;
      drain_owed_ = false;
      return;
    case Outbox::State::kBlocked:
      return;
    case Outbox::State::kBusy:
      return retry_later();
    case Outbox::State::kFailed:
      broken_ = channel_error(outbox_.error_number(), "sending to the peer");
      outbox_.clear();
      drain_owed_ = false;
      return;
  }
}

void Channel::retry_later() {
  if (retrying_) return;
  auto retry = [weak = weak_from_this()] {
    const std::shared_ptr<Channel> self = weak.lock();
    if (!self) return;
    {
      std::lock_guard<std::mutex> lock(self->mutex_);
      self->retrying_ = false;
      self->flush();
      self->settle();
    }
    self->wake_for_more();
  };
  try {
    Reactor::instance().after(kRetryDelay, std::move(retry));
    retrying_ = true;
  } catch (const Error& error) {
    broken_ = error;
    outbox_.clear();
  }
}

void Channel::end(std::optional<Error> error) {
  ended_ = true;
  end_error_ = std::move(error);
  // At end-of-file the peer may still be reading: answers to what it had sent go out until Closed is
  // returned.
  if (end_error_) close_socket();
}

void Channel::close_socket() {
  if (!socket_) return;
  if (watched_ != 0) Reactor::instance().remove(registration_, socket_.get());
  watched_ = 0;
  ::shutdown(socket_.get(), SHUT_RDWR);
  socket_.reset();
  outbox_.clear();
  drain_owed_ = drained_ = false;
}

// Brings what epoll watches in line with the state: nothing at all when there is nothing to do, because a
// hang-up is reported whatever is asked for.
void Channel::settle() {
  if (broken_ && wants_input()) receive();
  if (!socket_) return;
  const uint32_t events = (wants_input() ? EPOLLIN : 0u) | (!outbox_.empty() && !retrying_ ? EPOLLOUT : 0u);
  if (events == watched_) return;
  try {
    Reactor& reactor = Reactor::instance();
    if (watched_ == 0)
      registration_ = reactor.add(socket_.get(), events, shared_from_this());
    else if (events == 0)
      reactor.remove(registration_, socket_.get());
    else
      reactor.modify(registration_, socket_.get(), events);
    watched_ = events;
  } catch (const Error& error) {
    end(error);
  }
}

bool Channel::deliverable() const {
  if (!started_ || finished_) return false;
  return drained_ || (!inbox_.empty() && !paused_) || (ended_ && inbox_.empty());
}

void Channel::unlock_and_wake(std::unique_lock<std::mutex>& lock) {
  const bool wakes = !wake_claimed_ && deliverable();
  if (wakes) wake_claimed_ = true;
  lock.unlock();
  if (wakes) wake_();
}

}  // namespace cuda_ipc
