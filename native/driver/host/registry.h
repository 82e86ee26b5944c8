// Objects given out as opaque handles: a handle that is stale or was never given out is told from a good one.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace cuda_ipc::host {

template <typename Object>
class Registry {
 public:
  uintptr_t add(std::shared_ptr<Object> object) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto handle = reinterpret_cast<uintptr_t>(object.get());
    objects_.emplace(handle, std::move(object));
    return handle;
  }

  // Null when there is none.
  std::shared_ptr<Object> find(uintptr_t handle) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = objects_.find(handle);
    return found == objects_.end() ? nullptr : found->second;
  }

  std::shared_ptr<Object> take(uintptr_t handle) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = objects_.find(handle);
    if (found == objects_.end()) return nullptr;
    std::shared_ptr<Object> object = std::move(found->second);
    objects_.erase(found);
    return object;
  }

  // Takes every object that `matches`; the caller lets go of them.
  template <typename Matches>
  std::vector<std::shared_ptr<Object>> take_if(Matches matches) {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<std::shared_ptr<Object>> taken;
    for (auto it = objects_.begin(); it != objects_.end();) {
      if (matches(*it->second)) {
        taken.push_back(std::move(it->second));
        it = objects_.erase(it);
      } else {
        ++it;
      }
    }
    return taken;
  }

 private:
  std::mutex mutex_;
  std::unordered_map<uintptr_t, std::shared_ptr<Object>> objects_;
};

}  // namespace cuda_ipc::host
