#include "channel/inbox.h"

namespace cuda_ipc {

namespace {

constexpr size_t kMostCharge = 1 << 20;
constexpr size_t kChargePerMessage = 256;
// As many bytes, so that a peer cannot use up this process's descriptors with messages of one byte.
constexpr size_t kChargePerFd = 4096;

size_t charge_of(const Inbox::Data& data) {
  return kChargePerMessage + data.bytes.size() + kChargePerFd * data.fds.size();
}

}  // namespace

void Inbox::push(Data data) {
  charge_ += charge_of(data);
  full_ = charge_ > kMostCharge;
  queue_.push_back(std::move(data));
}

Inbox::Data Inbox::pop() {
  Data data = std::move(queue_.front());
  queue_.pop_front();
  charge_ -= charge_of(data);
  if (charge_ <= kMostCharge / 2) full_ = false;
  return data;
}

void Inbox::clear() {
  queue_.clear();
  charge_ = 0;
  full_ = false;
}

}  // namespace cuda_ipc
