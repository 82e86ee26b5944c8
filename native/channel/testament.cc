#include "channel/testament.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "channel/connect.h"

namespace cuda_ipc {

namespace {

constexpr std::chrono::milliseconds kFirstDelay(20);
constexpr std::chrono::milliseconds kLongestDelay(500);
constexpr size_t kHeaderBytes = sizeof(uint32_t);
constexpr uint32_t kMostFrameBytes = 16 << 20;  // of the protocol

// Whether a frame answers a request: then it has the request's number in `re`. An owner's welcome and its
// events have no such field, and its last word on a connection has null there. Within a string the quotes are
// escaped.
bool is_answer(std::string_view frame) {
  constexpr std::string_view kField = "\"re\":";
  const size_t at = frame.find(kField);
  if (at == std::string_view::npos) return false;
  const size_t value = at + kField.size();
  return value < frame.size() && frame[value] >= '0' && frame[value] <= '9';
}

}  // namespace

void Testament::execute(std::string path, std::string journal, std::vector<uint8_t> message,
                        size_t requests) {
  const std::shared_ptr<Testament> self(
      new Testament(std::move(path), std::move(journal), std::move(message), requests));
  try {
    Reactor::instance().after(std::chrono::milliseconds(0), [self] { self->attempt(); });
  } catch (const Error&) {
    // Without a reactor there has been no connection either: nothing was ever granted.
  }
}

void Testament::attempt() {
  try {
    channel_ = try_connect(path_);
  } catch (const Error& error) {
    const bool nobody = error.code() == std::string_view("ERR_CUDA_IPC_NO_OWNER");
    if (nobody && ::access(journal_.c_str(), F_OK) != 0) return;
  }
  if (!channel_) return attempt_later();
  unread_.clear();
  answers_ = 0;
  const std::shared_ptr<Channel> channel = channel_;
  channel->send(message_.data(), message_.size(), {});
  channel->start([self = shared_from_this()] { self->listen(); });
}

void Testament::listen() {
  while (channel_) {
    const std::optional<Channel::Event> event = channel_->next();
    if (!event) return;
    if (auto* data = std::get_if<Channel::Data>(&*event)) {
      hear(data->bytes);
    } else if (std::holds_alternative<Channel::Closed>(*event)) {
      let_go();
      attempt_later();
    }
  }
}

void Testament::hear(const std::vector<uint8_t>& bytes) {
  unread_.insert(unread_.end(), bytes.begin(), bytes.end());
  size_t at = 0;
  while (unread_.size() - at >= kHeaderBytes) {
    uint32_t length;
    std::memcpy(&length, unread_.data() + at, sizeof length);
    if (length > kMostFrameBytes) {  // no owner: what it goes on to send is not kept
      let_go();
      return attempt_later();
    }
    if (unread_.size() - at - kHeaderBytes < length) break;
    at += kHeaderBytes;
    if (is_answer({reinterpret_cast<const char*>(unread_.data() + at), length})) ++answers_;
    at += length;
  }
  unread_.erase(unread_.begin(), unread_.begin() + static_cast<std::ptrdiff_t>(at));
  if (answers_ >= requests_) let_go();
}

void Testament::attempt_later() {
  delay_ = std::clamp(delay_ * 2, kFirstDelay, kLongestDelay);
  Reactor::instance().after(delay_, [self = shared_from_this()] { self->attempt(); });
}

// Not destroyed at once: it is the channel that calls.
void Testament::let_go() {
  channel_->abandon();
  Reactor::instance().after(std::chrono::milliseconds(0), [channel = std::move(channel_)] {});
}

}  // namespace cuda_ipc
