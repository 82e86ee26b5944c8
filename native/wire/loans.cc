#include "wire/loans.h"

namespace cuda_ipc {

Loans::Loan::~Loan() {
  if (loans_) loans_->returned(version_);
}

Loans::Loan Loans::take(const std::string& version) {
  std::lock_guard<std::mutex> lock(mutex_);
  ++out_[version].count;
  return Loan(shared_from_this(), version);
}

bool Loans::when_returned(const std::string& version, std::function<void()> then) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = out_.find(version);
  if (found == out_.end()) return false;
  found->second.then.push_back(std::move(then));
  return true;
}

void Loans::returned(const std::string& version) {
  std::vector<std::function<void()>> told;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = out_.find(version);
    if (--found->second.count != 0) return;
    told.swap(found->second.then);
    out_.erase(found);
  }
  for (const auto& then : told) then();
}

}  // namespace cuda_ipc
