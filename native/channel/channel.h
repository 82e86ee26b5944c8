// One connected SOCK_STREAM Unix socket, written by its owner's thread and served by the reactor's.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <variant>
#include <vector>

#include "channel/inbox.h"
#include "channel/outbox.h"
#include "channel/peer.h"
#include "channel/reactor.h"
#include "driver/error.h"

namespace cuda_ipc {

// Sees what arrives before the event loop does, from whatever thread receives it, in order.
class ChannelObserver {
 public:
  virtual ~ChannelObserver() = default;
  // Sends to the peer, if nothing else waits to be sent; what the kernel does not take at once is queued.
  // False when nothing has been sent: so it is without a descriptor to duplicate into, too. Where the
  // connection fails meanwhile some of it may have been. Never throws.
  using Answer = std::function<bool(const uint8_t* bytes, size_t size, const std::vector<int>& fds)>;
  // Under the channel's lock: must neither block nor throw, nor call the channel but by `answer`, which is of
  // no use afterwards.
  virtual void received(const Inbox::Data& data, const Answer& answer) = 0;
  // Both under the channel's lock, too: before anything is received, and when nothing is any more, with the
  // descriptor that the channel has held the peer by, if there is one.
  virtual void meets(const ProcessHandle&) {}
  virtual void parts(Fd) {}
};

class Channel final : public Pollable, public std::enable_shared_from_this<Channel> {
 public:
  using Data = Inbox::Data;
  // The kernel has taken everything since send() had returned false.
  struct Drained {};
  // Once and last. Without an error: end-of-file, or close().
  struct Closed {
    std::optional<Error> error;
  };
  using Event = std::variant<Data, Drained, Closed>;

  // A channel neither reads nor is watched before start(), or attend(). Whoever lets go of it calls
  // abandon(): the reactor shares a channel that it watches. A peer that was not described yet is when it is
  // asked for.
  Channel(Fd socket, Peer peer) : peer_(std::move(peer)), socket_(std::move(socket)) {}
  // For who connects: the peer is looked at when it is asked for, if the socket is still open then.
  explicit Channel(Fd socket) : peer_read_(false), socket_(std::move(socket)) {}

  // Begins reading for the observer: what arrives is kept, as much as is for a slow event loop, and delivered
  // after start(). To be called before that, and once. Throws Error (ERR_CUDA_IPC_INVALID_STATE).
  void attend(std::shared_ptr<ChannelObserver> observer);
  // It will be, at once and on another thread: start() waits for that. For whoever is told of it already.
  void expect_attendant() { attendant_expected_ = true; }
  std::shared_ptr<ChannelObserver> observer();
  // Begins reading. `wake` is called from any thread, never under a lock, when there may be something for
  // next(); it is not called again before next() has been.
  void start(std::function<void()> wake);
  std::optional<Event> next();
  // To be called after an event was handled: wakes again when there is more.
  void wake_for_more();

  // False: some of it is queued, and Drained will follow. What is sent after the connection was lost, but
  // before Closed has been returned, is dropped, with false: the
  // caller cannot know yet. Throws Error:
  // ERR_CUDA_IPC_CLOSED, ERR_CUDA_IPC_INVALID_ARGUMENT (more groups of 253 descriptors than bytes),
  // ERR_CUDA_IPC_FD_LIMIT.
  bool send(const uint8_t* bytes, size_t size, const std::vector<int>& fds);
  // While paused neither is anything read nor does next() return data; Drained still comes.
  void pause();
  void resume();
  // Sends what the kernel takes at once and closes. What had been received is still delivered, then Closed.
  void close();
  // The same without any event.
  void abandon();
  // The same, with `last_words` behind all that was sent: only if the kernel takes everything at once.
  void abandon(const std::vector<uint8_t>& last_words);

  // All but its process's pidfd, which is open_peer()'s to give.
  const Peer& peer();
  uid_t peer_uid() const { return peer_.uid; }
  // Throws Error (ERR_CUDA_IPC_PEER_UNPROVEN, ERR_CUDA_IPC_CLOSED once Closed has been returned).
  ProcessHandle open_peer();
  int fd();
  size_t queued_bytes();
  // Whether no event will come any more, or none can.
  bool finished();

  void on_ready(uint32_t events, Clock::time_point at) override;

 private:
  // All of these under the lock.
  bool answer(const uint8_t* bytes, size_t size, const std::vector<int>& fds);
  bool closed_unstarted() const { return closed_ && !started_; }
  void complete_peer();
  void part_with_peer();
  bool wants_input() const;
  void receive();
  void flush();
  void note(Outbox::State state);
  void retry_later();
  void end(std::optional<Error> error);
  void close_socket();
  void finish();
  void settle();
  bool deliverable() const;
  void unlock_and_wake(std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;
  Peer peer_;  // but for its pidfd, changed by complete_peer() alone; a uid it was made with never is
  bool peer_read_ = true;
  bool described_ = false;  // so that whoever was given it can read it without the lock
  Fd socket_;
  Outbox outbox_;
  Inbox inbox_;
  std::shared_ptr<ChannelObserver> observer_;
  std::function<void()> wake_;  // not changed after start(), so that it can be called without the lock
  bool attended_ = false;
  bool attendant_expected_ = false;
  std::condition_variable attendant_came_;
  bool started_ = false;
  bool paused_ = false;
  bool wake_claimed_ = false;
  bool drain_owed_ = false;
  bool drained_ = false;
  bool retrying_ = false;
  std::optional<Error> broken_;  // sending failed; what the peer had sent before is still read
  bool ended_ = false;           // nothing more is read; `end_error_` says why
  std::optional<Error> end_error_;
  bool closed_ = false;    // by close()
  bool finished_ = false;  // Closed has been returned
  uint32_t watched_ = 0;   // the epoll events; 0: not registered
  Reactor::Id registration_ = 0;
};

}  // namespace cuda_ipc
