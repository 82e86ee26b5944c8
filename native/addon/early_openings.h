// Begins to map what an owner has granted as soon as its reply arrives, on the thread that receives it: the
// event loop reads the reply meanwhile, and finds the memory mapped, or nearly.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "addon/opening.h"
#include "channel/channel.h"
#include "wire/frame_scan.h"
#include "wire/grant.h"

namespace cuda_ipc {

// Only a beginning: whatever it does not take up, and whatever it does not understand, is opened when
// JavaScript asks for it. What was begun has to be ended by end() or abandon().
class EarlyOpenings final : public ChannelObserver {
 public:
  // The lease may be granted from now on. With `ahead` its memory may come before that: what comes so next is
  // for the last lease of which this was said. `afterwards` is let go of when its memory has been.
  void expect(const std::string& lease, Access access, bool ahead, Environment::Afterwards afterwards);
  // What was begun for that slab of the lease, for the caller to take; null where nothing was, or something
  // else.
  std::shared_ptr<Opening> claim(const std::string& lease, size_t slab, const SlabSource& source);
  // Nothing is begun for the lease any more. Returns what was and is claimed by nobody.
  std::vector<std::shared_ptr<Opening>> end(const std::string& lease);
  // The same for all, undone here or where it comes.
  void abandon();

  void received(const Inbox::Data& data, const Answer& answer) override;

 private:
  using Openings = std::vector<std::shared_ptr<Opening>>;
  struct Expected {
    Access access;
    Environment::Afterwards afterwards;
  };
  // Under the lock.
  void take_up(const Grant& grant, const Fd* fds, size_t fd_count);
  void begin(const std::string& lease, const Grant& grant, const Fd* fds, const Expected& expected);

  FrameScan scan_;  // of the receiving thread, which holds the channel's lock
  std::mutex mutex_;
  std::map<std::string, Expected> expected_;
  std::string ahead_;  // which of them the next `ahead` is for, while it is expected
  std::map<std::string, Openings> begun_;
};

}  // namespace cuda_ipc
