// Mutual exclusion between the processes of a scope, so that two of them cannot both take the last bytes.
// An abstract socket name, not a file: nothing to clean up, no path for others to plant, gone with its
// holder, and in the same network namespace as the list of tokens that it guards.
#pragma once

#include <cstdint>
#include <mutex>

#include "driver/host/fd.h"

namespace cuda_ipc::host {

class MachineLock {
 public:
  explicit MachineLock(uint64_t scope);  // waits for it
  // False when the system refused; errno says why.
  explicit operator bool() const { return static_cast<bool>(listener_); }

 private:
  std::unique_lock<std::mutex> local_;
  Fd listener_;  // declared last: let go first
};

}  // namespace cuda_ipc::host
