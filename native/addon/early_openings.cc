#include "addon/early_openings.h"

#include <algorithm>

namespace cuda_ipc {

namespace {

// More are opened when JavaScript has found the grant to be in order.
constexpr size_t kMostSlabs = 64;

// The grant among these frames, if all of the descriptors are its own: then it is clear which are.
std::optional<Grant> only_grant(const std::vector<std::string_view>& frames, size_t fds) {
  std::optional<Grant> grant;
  for (const std::string_view frame : frames) {
    const std::optional<size_t> declared = declared_descriptors(frame);
    if (!declared) return std::nullopt;
    std::optional<Grant> read = read_grant(frame);
    if (!read && *declared != 0) return std::nullopt;
    if (!read) continue;
    if (grant || *declared != fds) return std::nullopt;
    grant = std::move(read);
  }
  return grant;
}

bool can_begin(const Grant& grant, size_t fds) {
  const auto without_handle = std::count_if(grant.slabs.begin(), grant.slabs.end(),
                                            [](const GrantedSlab& slab) { return !slab.handle; });
  // Bringing the driver up takes long, and is on its way.
  return grant.slabs.size() <= kMostSlabs && static_cast<size_t>(without_handle) == fds && driver_is_up();
}

}  // namespace

void EarlyOpenings::expect(const std::string& lease, Access access, Environment::Afterwards afterwards) {
  std::lock_guard<std::mutex> lock(mutex_);
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

void EarlyOpenings::received(const Inbox::Data& data) {
  const std::vector<std::string_view> frames = scan_.push(data.bytes.data(), data.bytes.size());
  std::lock_guard<std::mutex> lock(mutex_);
  if (expected_.empty()) return;
  const std::optional<Grant> grant = only_grant(frames, data.fds.size());
  if (!grant || !can_begin(*grant, data.fds.size())) return;
  const auto expected = expected_.find(grant->lease);
  if (expected == expected_.end()) return;
  begin(*grant, data.fds, expected->second);
  expected_.erase(expected);
}

void EarlyOpenings::begin(const Grant& grant, const std::vector<Fd>& fds, const Expected& expected) {
  Openings& openings = begun_[grant.lease];
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
