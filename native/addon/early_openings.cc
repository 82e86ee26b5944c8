#include "addon/early_openings.h"

#include <algorithm>

namespace cuda_ipc {

namespace {

// More are opened when JavaScript has found the grant to be in order.
constexpr size_t kMostSlabs = 64;

struct FoundGrant {
  Grant grant;
  size_t fds;  // that are its own
};

// The grants among these frames, if all of the descriptors are their own: then it is clear whose they are.
std::vector<FoundGrant> grants_among(const std::vector<std::string_view>& frames, size_t fds) {
  std::vector<FoundGrant> grants;
  size_t declared_by_all = 0;
  for (const std::string_view frame : frames) {
    const std::optional<size_t> declared = declared_descriptors(frame);
    if (!declared) return {};
    std::optional<Grant> read = read_grant(frame);
    // Their sum must not come round: each is a distance to the descriptors of the next.
    if (*declared > fds - declared_by_all || (!read && *declared != 0)) return {};
    if (read) grants.push_back({std::move(*read), *declared});
    declared_by_all += *declared;
  }
  if (declared_by_all != fds) return {};
  return grants;
}

bool can_begin(const Grant& grant, size_t fds) {
  const auto without_handle = std::count_if(grant.slabs.begin(), grant.slabs.end(),
                                            [](const GrantedSlab& slab) { return !slab.handle; });
  // The last is the manifest's; none where all of it has come ahead.
  const size_t expected = grant.slabs.empty() && fds == 0 ? 0 : static_cast<size_t>(without_handle) + 1;
  // Bringing the driver up takes long, and is on its way.
  return grant.slabs.size() <= kMostSlabs && fds == expected && driver_is_up();
}

}  // namespace

void EarlyOpenings::expect(const std::string& lease, Access access, bool ahead,
                           Environment::Afterwards afterwards) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (ahead)
    ahead_ = lease;
  else if (ahead_ == lease)
    ahead_.clear();
  expected_.insert_or_assign(lease, Expected{access, std::move(afterwards)});
}

std::shared_ptr<Opening> EarlyOpenings::claim(const std::string& lease, size_t slab,
                                              const SlabSource& source) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = begun_.find(lease);
  if (found == begun_.end() || slab >= found->second.size()) return nullptr;
  std::shared_ptr<Opening>& opening = found->second[slab];
  return opening && opening->is_of(source) ? std::move(opening) : nullptr;
}

std::vector<std::shared_ptr<Opening>> EarlyOpenings::end(const std::string& lease) {
  std::lock_guard<std::mutex> lock(mutex_);
  expected_.erase(lease);
  const auto found = begun_.find(lease);
  if (found == begun_.end()) return {};
  Openings left = std::move(found->second);
  begun_.erase(found);
  left.erase(std::remove(left.begin(), left.end(), nullptr), left.end());
  return left;
}

void EarlyOpenings::abandon() {
  std::map<std::string, Openings> begun;
  std::map<std::string, Expected> expected;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    begun.swap(begun_);
    expected.swap(expected_);
  }
  for (const auto& [lease, openings] : begun)
    for (const std::shared_ptr<Opening>& opening : openings)
      if (opening) opening->drop();
}

void EarlyOpenings::received(const Inbox::Data& data, const Answer&) {
  const std::vector<std::string_view> frames = scan_.push(data.bytes.data(), data.bytes.size());
  std::lock_guard<std::mutex> lock(mutex_);
  if (expected_.empty()) return;
  const Fd* fds = data.fds.data();
  for (const auto& [grant, fd_count] : grants_among(frames, data.fds.size())) {
    take_up(grant, fds, fd_count);
    fds += fd_count;
  }
}

void EarlyOpenings::take_up(const Grant& grant, const Fd* fds, size_t fd_count) {
  const auto expected = expected_.find(grant.ahead ? ahead_ : grant.lease);
  if (expected == expected_.end() || !can_begin(grant, fd_count)) return;
  const std::string& lease = expected->first;
  if (begun_.find(lease) == begun_.end()) begin(lease, grant, fds, expected->second);
  // What comes ahead is followed by the grant itself, of the same memory, or by a refusal.
  if (!grant.ahead) expected_.erase(expected);
}

void EarlyOpenings::begin(const std::string& lease, const Grant& grant, const Fd* fds,
                          const Expected& expected) {
  Openings& openings = begun_[lease];
  size_t next = 0;
  for (const GrantedSlab& slab : grant.slabs) {
    const Fd* const fd = slab.handle ? nullptr : &fds[next++];
    try {
      SlabSource source{slab.id,    slab.uuid, slab.bytes, expected.access, fd ? fd->duplicate() : Fd(),
                        slab.handle};
      openings.push_back(Opening::begin(std::move(source), expected.afterwards));
    } catch (const std::exception&) {  // no descriptor or no thread left: whoever asks for it is told
      openings.push_back(nullptr);
    }
  }
}

}  // namespace cuda_ipc
