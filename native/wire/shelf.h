// What an owner's channels send ahead of a grant: for each weight set, the frames that name its memory and
// the descriptors of that.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "memory/fd.h"
#include "wire/attach_request.h"
#include "wire/loans.h"

namespace cuda_ipc {

// Filled by the event loop and looked into by whatever thread receives a request: every method may be called
// from any thread, under a channel's lock too.
class Shelf {
 public:
  struct Entry {
    std::string version;
    std::optional<std::string> checksum;
    std::vector<uint8_t> frames;
    std::vector<std::shared_ptr<const Fd>> fds;  // beside the first byte
    // Where nothing but its owner keeps this memory: it goes on loan to whoever is sent it, who must be on
    // this driver.
    std::optional<std::string> provider;
  };
  struct Found {
    std::shared_ptr<const Entry> entry;  // stays, with its descriptors, for as long as it is held
    std::optional<Loans::Loan> loan;     // of an entry that goes on loan
  };

  explicit Shelf(std::vector<uid_t> uids) : uids_(std::move(uids)) {}

  // Whether processes of that user are sent anything at all.
  bool serves(uid_t uid) const;
  // In place of what lies there for that set.
  void put(const std::string& set, Entry entry);
  void remove(const std::string& set, const std::string& version);
  void clear();
  // What the request is answered with, as JavaScript would by what it has put here; nothing when there is
  // nothing for it. What goes on loan is for a `borrower` alone: the driver of a peer who may have that. Of
  // what has been taken off nothing goes on loan any more.
  std::optional<Found> find(const AttachRequest& request, const std::optional<std::string>& borrower) const;
  Loans& loans() const { return *loans_; }

 private:
  using Entries = std::map<std::string, std::shared_ptr<const Entry>>;

  const std::vector<uid_t> uids_;
  const std::shared_ptr<Loans> loans_ = std::make_shared<Loans>();
  mutable std::mutex mutex_;  // never held while descriptors are closed
  Entries entries_;
};

}  // namespace cuda_ipc
