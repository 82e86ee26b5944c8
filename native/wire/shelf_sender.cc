#include "wire/shelf_sender.h"

#include <algorithm>

#include "wire/attach_request.h"

namespace cuda_ipc {

namespace {

// Of requests that JavaScript has not come to yet, and of what is out: who wants more waits for an answer, or
// gives back.
constexpr size_t kMostNotes = 16;

}  // namespace

bool ShelfSender::Sent::anything_out() const {
  return std::any_of(notes.begin(), notes.end(),
                     [](const auto& sent) { return sent.second.loan.has_value(); });
}

void ShelfSender::Sent::end_loans() {
  Notes ended;  // without the lock
  std::lock_guard<std::mutex> lock(mutex);
  ended.swap(notes);
}

// Where its death cannot be waited for, nobody may ever free what the peer may have open.
ShelfSender::~ShelfSender() {
  std::lock_guard<std::mutex> lock(sent_->mutex);
  if (watch_) return;
  for (auto& [lease, note] : sent_->notes)
    if (note.loan) note.loan->keep_for_good();
}

std::shared_ptr<ShelfSender> ShelfSender::for_peer(const std::shared_ptr<const Shelf>& shelf, uid_t peer) {
  return shelf->serves(peer) ? std::make_shared<ShelfSender>(shelf) : nullptr;
}

std::optional<std::string> ShelfSender::take(const std::string& lease) {
  std::lock_guard<std::mutex> lock(sent_->mutex);
  const auto found = sent_->notes.find(lease);
  if (found == sent_->notes.end() || found->second.taken) return std::nullopt;
  std::string version = found->second.version;
  found->second.taken = true;
  if (!found->second.loan) sent_->notes.erase(found);
  return version;
}

void ShelfSender::give_back(const std::string& lease) {
  Notes::node_type ended;  // without the lock
  std::shared_ptr<ProcessWatch> watch;
  {
    std::lock_guard<std::mutex> lock(sent_->mutex);
    const auto found = sent_->notes.find(lease);
    if (found == sent_->notes.end() || !found->second.loan) return;
    ended = sent_->notes.extract(found);
    if (!sent_->anything_out()) watch = std::move(watch_);
  }
  if (watch) watch->stop();
}

std::vector<std::string> ShelfSender::untaken() {
  std::lock_guard<std::mutex> lock(sent_->mutex);
  std::vector<std::string> leases;
  for (const auto& [lease, note] : sent_->notes)
    if (note.loan && !note.taken) leases.push_back(lease);
  return leases;
}

void ShelfSender::parts(Fd pidfd) {
  {
    std::lock_guard<std::mutex> lock(sent_->mutex);
    if (!sent_->anything_out()) return;
  }
  std::shared_ptr<ProcessWatch> watch;
  try {
    watch = ProcessWatch::start({0, "", std::move(pidfd), false}, [sent = sent_] { sent->end_loans(); });
  } catch (const Error&) {
    return;
  }
  {
    std::lock_guard<std::mutex> lock(sent_->mutex);
    if (sent_->anything_out()) watch.swap(watch_);
  }
  if (watch) watch->stop();  // all of it has been given back meanwhile
}

void ShelfSender::received(const Inbox::Data& data, const Answer& answer) {
  if (state_ == State::kSilent) return;
  const std::vector<std::string_view> frames = scan_.push(data.bytes.data(), data.bytes.size());
  // The first chunk begins with the first frame, if it holds that as a whole.
  if (state_ == State::kNew) state_ = frames.empty() ? State::kSilent : greet(frames.front());
  if (state_ == State::kSilent) return;
  for (const std::string_view frame : frames) serve(frame, answer);
}

// Who is refused for his hello would have nobody to give anything back to.
ShelfSender::State ShelfSender::greet(std::string_view frame) {
  std::optional<Hello> hello = read_hello(frame);
  if (!hello) return State::kSilent;
  if (proven_ && hello->first_version) borrower_ = std::move(hello->provider);
  return State::kGreeted;
}

void ShelfSender::serve(std::string_view frame, const Answer& answer) {
  const std::optional<AttachRequest> request = read_attach_request(frame);
  if (!request || !request->ahead) return;
  std::optional<Shelf::Found> found = shelf_->find(*request, borrower_);
  // Noted before: JavaScript must know of all that has gone.
  if (!found || !note(request->lease, *found)) return;
  const Shelf::Entry& entry = *found->entry;
  std::vector<int> fds;
  fds.reserve(entry.fds.size());
  for (const std::shared_ptr<const Fd>& fd : entry.fds) fds.push_back(fd->get());
  if (!answer(entry.frames.data(), entry.frames.size(), fds)) forget(request->lease);
}

bool ShelfSender::note(const std::string& lease, Shelf::Found& found) {
  std::lock_guard<std::mutex> lock(sent_->mutex);
  Notes& notes = sent_->notes;
  if (notes.size() >= kMostNotes || notes.find(lease) != notes.end()) return false;
  notes.emplace(lease, Note{found.entry->version, std::move(found.loan)});
  return true;
}

void ShelfSender::forget(const std::string& lease) {
  Notes::node_type forgotten;  // without the lock
  std::lock_guard<std::mutex> lock(sent_->mutex);
  forgotten = sent_->notes.extract(lease);
}

}  // namespace cuda_ipc
