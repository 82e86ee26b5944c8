// Sends to a channel's peer what lies on the shelf for it, as soon as its request arrives: JavaScript reads,
// and answers, the same request afterwards.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "channel/channel.h"
#include "channel/process_watch.h"
#include "wire/frame_scan.h"
#include "wire/shelf.h"

namespace cuda_ipc {

// Of one channel. Only a hint to its peer: whatever is unusual is left to JavaScript, and nothing is sent.
// What was lent stays out until it is given back, or the peer's process is dead: the peer may have it open.
class ShelfSender final : public ChannelObserver {
 public:
  explicit ShelfSender(std::shared_ptr<const Shelf> shelf) : shelf_(std::move(shelf)) {}
  // Null for who is not served: of such a peer nothing is read, and no descriptor taken, before the event
  // loop has refused it.
  static std::shared_ptr<ShelfSender> for_peer(const std::shared_ptr<const Shelf>& shelf, uid_t peer);

  ~ShelfSender() override;

  // These from any thread. The version that was sent ahead to whoever asked for this lease: once.
  std::optional<std::string> take(const std::string& lease);
  // Nothing of it is open at the peer, or something else keeps it. Harmless when nothing was lent.
  void give_back(const std::string& lease);
  // The leases that something was lent under, and nobody has taken.
  std::vector<std::string> untaken();

  void received(const Inbox::Data& data, const Answer& answer) override;
  void meets(const ProcessHandle& peer) override { proven_ = static_cast<bool>(peer.pidfd); }
  void parts(Fd pidfd) override;

 private:
  enum class State {
    kNew,      // the first frame is still to come
    kGreeted,  // it was a hello
    kSilent,   // nothing is sent, whatever comes
  };
  struct Note {
    std::string version;
    std::optional<Loans::Loan> loan;
    bool taken = false;  // and kept for its loan
  };
  using Notes = std::map<std::string, Note>;  // by lease
  // Outlives the channel where something is out.
  struct Sent {
    bool anything_out() const;  // under the lock
    void end_loans();
    std::mutex mutex;
    Notes notes;
  };
  State greet(std::string_view frame);
  void serve(std::string_view frame, const Answer& answer);
  // False when it is one too many, or the lease has a note already.
  bool note(const std::string& lease, Shelf::Found& found);
  void forget(const std::string& lease);

  const std::shared_ptr<const Shelf> shelf_;
  // Of the receiving thread, which holds the channel's lock, as are the next.
  bool proven_ = false;                  // whether the peer's death will be
  std::optional<std::string> borrower_;  // its driver, where it may have something on loan
  State state_ = State::kNew;
  FrameScan scan_;
  const std::shared_ptr<Sent> sent_ = std::make_shared<Sent>();
  std::shared_ptr<ProcessWatch> watch_;  // once the channel does not hold the peer any more; under that lock
};

}  // namespace cuda_ipc
