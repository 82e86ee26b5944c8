#include "wire/shelf_sender.h"

#include <vector>

#include "wire/attach_request.h"

namespace cuda_ipc {

namespace {

// Of requests that JavaScript has not come to yet: who asks for more at once waits for it.
constexpr size_t kMostNotes = 16;

}  // namespace

std::shared_ptr<ShelfSender> ShelfSender::for_peer(const std::shared_ptr<const Shelf>& shelf, uid_t peer) {
  return shelf->serves(peer) ? std::make_shared<ShelfSender>(shelf) : nullptr;
}

std::optional<std::string> ShelfSender::take(const std::string& lease) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = sent_.find(lease);
  if (found == sent_.end()) return std::nullopt;
  std::string version = std::move(found->second);
  sent_.erase(found);
  return version;
}

void ShelfSender::received(const Inbox::Data& data, const Answer& answer) {
  if (state_ == State::kSilent) return;
  const std::vector<std::string_view> frames = scan_.push(data.bytes.data(), data.bytes.size());
  // The first chunk begins with the first frame, if it holds that as a whole.
  if (state_ == State::kNew)
    state_ = !frames.empty() && is_hello(frames.front()) ? State::kGreeted : State::kSilent;
  if (state_ == State::kSilent) return;
  for (const std::string_view frame : frames) serve(frame, answer);
}

void ShelfSender::serve(std::string_view frame, const Answer& answer) {
  const std::optional<AttachRequest> request = read_attach_request(frame);
  if (!request || !request->ahead) return;
  const std::shared_ptr<const Shelf::Entry> entry = shelf_->find(*request);
  // Noted before: JavaScript must know of all that has gone.
  if (!entry || !note(request->lease, entry->version)) return;
  std::vector<int> fds;
  fds.reserve(entry->fds.size());
  for (const std::shared_ptr<const Fd>& fd : entry->fds) fds.push_back(fd->get());
  if (!answer(entry->frames.data(), entry->frames.size(), fds)) take(request->lease);
}

bool ShelfSender::note(const std::string& lease, const std::string& version) {
  std::lock_guard<std::mutex> lock(mutex_);
  return sent_.size() < kMostNotes && sent_.emplace(lease, version).second;
}

}  // namespace cuda_ipc
