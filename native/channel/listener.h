// A listening Unix socket.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "channel/channel.h"
#include "channel/reactor.h"

namespace cuda_ipc {

class Listener final : public Pollable, public std::enable_shared_from_this<Listener> {
 public:
  // Called on the reactor's thread, without a lock.
  struct Handlers {
    std::function<void(std::shared_ptr<Channel>)> on_connection;
    std::function<void(Error)> on_error;  // accepting failed and will be tried again
    // If there is one: somebody is at the door. To wake whoever is told of connections, while one is
    // accepted.
    std::function<void()> on_knock = nullptr;
    // If there is one: makes who attends a connection as soon as on_connection has been called, or nobody,
    // for a peer that is not to be read before that. Whoever lets go of such a channel abandons it.
    std::function<std::shared_ptr<ChannelObserver>(uid_t peer)> attendant = nullptr;
  };

  // The socket's file never has a wider mode than `mode`. Throws Error: ERR_CUDA_IPC_SOCKET_PATH,
  // ERR_CUDA_IPC_ADDRESS_IN_USE when something exists at the path, ERR_CUDA_IPC_PERMISSION,
  // ERR_CUDA_IPC_SOCKET, ERR_CUDA_IPC_FD_LIMIT.
  static std::shared_ptr<Listener> open(const std::string& path, unsigned mode, int backlog,
                                        Handlers handlers);
  // Goes on with a listening socket that another process has bound; `shared`: and which listens on there when
  // it is closed here. Throws Error: ERR_CUDA_IPC_INVALID_ARGUMENT when the descriptor is no listening Unix
  // socket, ERR_CUDA_IPC_FD_LIMIT.
  static std::shared_ptr<Listener> adopt(Fd socket, bool shared, Handlers handlers);
  // Once per connection that was handled: accepting pauses while many wait for the event loop.
  void handled();
  // Stops listening. Leaves the file where it is.
  void close();
  // Stops accepting and gives the socket away, still listening: who connects waits for whoever adopts it.
  // Throws Error (ERR_CUDA_IPC_CLOSED) when closed.
  Fd detach();

  void on_ready(uint32_t events, Clock::time_point at) override;

 private:
  Listener(Fd socket, bool shared, Handlers handlers)
      : socket_(std::move(socket)), shared_(shared), handlers_(std::move(handlers)) {}
  static std::shared_ptr<Listener> start(Fd socket, bool shared, Handlers handlers);
  bool accept_one(std::shared_ptr<Channel>& channel, std::unique_ptr<Error>& error);
  static void attend(Channel& channel, std::shared_ptr<ChannelObserver> attendant);
  static void describe(Channel& channel);
  // Under the lock.
  void fail(const Error& failure, std::unique_ptr<Error>& error);
  void watch(bool on);
  void pause_after_error();

  std::mutex mutex_;
  Fd socket_;
  const bool shared_;
  const Handlers handlers_;
  Reactor::Id registration_ = 0;
  bool watched_ = false;
  bool resting_ = false;  // after an error, until a timer
  bool failing_ = false;  // the error was reported; not again before a connection was accepted
  size_t waiting_ = 0;
};

}  // namespace cuda_ipc
