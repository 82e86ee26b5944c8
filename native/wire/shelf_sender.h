// Sends to a channel's peer what lies on the shelf for it, as soon as its request arrives: JavaScript reads,
// and answers, the same request afterwards.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "channel/channel.h"
#include "wire/frame_scan.h"
#include "wire/shelf.h"

namespace cuda_ipc {

// Of one channel. Only a hint to its peer: whatever is unusual is left to JavaScript, and nothing is sent.
class ShelfSender final : public ChannelObserver {
 public:
  explicit ShelfSender(std::shared_ptr<const Shelf> shelf) : shelf_(std::move(shelf)) {}
  // Null for who is not served: of such a peer nothing is read, and no descriptor taken, before the event
  // loop has refused it.
  static std::shared_ptr<ShelfSender> for_peer(const std::shared_ptr<const Shelf>& shelf, uid_t peer);

  // The version that was sent ahead to whoever asked for this lease. Once: it is forgotten by that. From any
  // thread.
  std::optional<std::string> take(const std::string& lease);

  void received(const Inbox::Data& data, const Answer& answer) override;

 private:
  enum class State {
    kNew,      // the first frame is still to come
    kGreeted,  // it was a hello
    kSilent,   // nothing is sent, whatever comes
  };
  void serve(std::string_view frame, const Answer& answer);
  // False when it is one too many, or the lease has a note already.
  bool note(const std::string& lease, const std::string& version);

  const std::shared_ptr<const Shelf> shelf_;
  State state_ = State::kNew;  // of the receiving thread, which holds the channel's lock, as is the next
  FrameScan scan_;
  std::mutex mutex_;
  std::map<std::string, std::string> sent_;  // versions by lease
};

}  // namespace cuda_ipc
