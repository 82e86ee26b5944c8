// Host memory of the application's own that it has had locked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

namespace cuda_ipc::host {

// Copies take any host memory here, so registration only keeps account of itself, for the driver's answers.
class RegisteredRanges {
 public:
  // False when it overlaps one that is registered already.
  bool add(uintptr_t base, size_t bytes);
  // False when none begins there.
  bool remove(uintptr_t base);

 private:
  std::mutex mutex_;
  std::map<uintptr_t, size_t> ranges_;
};

}  // namespace cuda_ipc::host
