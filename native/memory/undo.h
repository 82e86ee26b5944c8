// What the owning handles of this directory have in common.
#pragma once

#include <optional>
#include <utility>

#include "driver/driver.h"

namespace cuda_ipc {

// Makes the device's context current, if it can be: twice, because what fails in passing must not cost the
// memory, and without it at last, because virtual memory is unmapped and released without one.
inline void enter(std::optional<ContextScope>& scope, int device) noexcept {
  for (int attempt = 0; attempt < 2 && !scope; ++attempt) {
    try {
      scope.emplace(device);
    } catch (const Error&) {
    }
  }
}

// Runs a destructor's one undo call with the device's context current. Errors are swallowed: there is nobody
// to tell, and in a context lost to a fault the driver frees everything with the process. Nothing is called,
// so the resource is left to the driver, once the process is exiting and in a natively forked child.
template <class Call>
void undo(int device, Call call) noexcept {
  if (!driver_is_up() || process_is_exiting()) return;
  try {
    std::optional<ContextScope> scope;
    enter(scope, device);
    call(driver());
  } catch (const Error&) {
  }
}

// Makes a class move-only by its defaulted move constructor: only the last object moved to is armed.
class Armed {
 public:
  Armed() = default;
  Armed(Armed&& other) noexcept : armed_(std::exchange(other.armed_, false)) {}
  explicit operator bool() const noexcept { return armed_; }

 private:
  bool armed_ = true;
};

}  // namespace cuda_ipc
