// What is left to be said to the owner at a path when nobody is left to say it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "channel/channel.h"

namespace cuda_ipc {

// Frames of the wire protocol: an opening, and requests behind it. They are said over a connection of their
// own, from the reactor's thread, again and again until an owner has answered all of the requests: one that
// is killed before that has perhaps not heard them. They must be harmless when repeated.
class Testament : public std::enable_shared_from_this<Testament> {
 public:
  // Returns at once. Given up when nobody listens at `path` and there is no file `journal`: then no owner is
  // to be expected there that would know of anything.
  static void execute(std::string path, std::string journal, std::vector<uint8_t> message, size_t requests);

 private:
  Testament(std::string path, std::string journal, std::vector<uint8_t> message, size_t requests)
      : path_(std::move(path)),
        journal_(std::move(journal)),
        message_(std::move(message)),
        requests_(requests) {}

  // All on the reactor's thread.
  void attempt();
  void listen();
  // Lets go when the owner has answered everything.
  void hear(const std::vector<uint8_t>& bytes);
  void attempt_later();
  void let_go();

  const std::string path_;
  const std::string journal_;
  const std::vector<uint8_t> message_;
  const size_t requests_;
  std::shared_ptr<Channel> channel_;
  std::vector<uint8_t> unread_;  // a part of a frame
  size_t answers_ = 0;
  std::chrono::milliseconds delay_{0};
};

}  // namespace cuda_ipc
