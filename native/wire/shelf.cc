#include "wire/shelf.h"

#include <algorithm>

namespace cuda_ipc {

namespace {

bool is_wanted(const Shelf::Entry& entry, const AttachRequest& request) {
  return (!request.version || *request.version == entry.version) &&
         (!request.checksum || request.checksum == entry.checksum);
}

}  // namespace

bool Shelf::serves(uid_t uid) const {
  return std::find(uids_.begin(), uids_.end(), uid) != uids_.end();
}

void Shelf::put(const std::string& set, Entry entry) {
  std::shared_ptr<const Entry> other = std::make_shared<const Entry>(std::move(entry));
  std::lock_guard<std::mutex> lock(mutex_);
  entries_[set].swap(other);
}

void Shelf::remove(const std::string& set, const std::string& version) {
  std::shared_ptr<const Entry> removed;
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = entries_.find(set);
  if (found == entries_.end() || found->second->version != version) return;
  removed = std::move(found->second);
  entries_.erase(found);
}

void Shelf::clear() {
  Entries removed;
  std::lock_guard<std::mutex> lock(mutex_);
  removed.swap(entries_);
}

std::optional<Shelf::Found> Shelf::find(const AttachRequest& request,
                                        const std::optional<std::string>& borrower) const {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = entries_.find(request.set);
  if (found == entries_.end() || !is_wanted(*found->second, request)) return std::nullopt;
  if (!found->second->provider) return Found{found->second, std::nullopt};
  if (borrower != found->second->provider) return std::nullopt;
  // Before it can be taken off: whoever does that asks afterwards what is out.
  return Found{found->second, loans_->take(found->second->version)};
}

}  // namespace cuda_ipc
