// What of a file is in the page cache.
#pragma once

#include <cstddef>

namespace cuda_ipc {

// Looks by mincore(2), which reads nothing in: a read that must not wait (RWF_NOWAIT) would start to read
// ahead.
class PageCacheView {
 public:
  // Of the first `bytes` of the file. Where it cannot be mapped, nothing is ever there.
  PageCacheView(int fd, size_t bytes);
  ~PageCacheView();
  PageCacheView(const PageCacheView&) = delete;
  PageCacheView& operator=(const PageCacheView&) = delete;

  // Whether the kernel tells this user: of a file that he neither owns nor may write it says that all is
  // there.
  static bool tells(int fd);

  // Whether a range is there, by a few of its pages: every one of them would take longer than to read them.
  bool holds(size_t offset, size_t bytes) const;

 private:
  bool holds_page(size_t offset) const;

  size_t bytes_;
  size_t page_;
  void* mapped_;
};

}  // namespace cuda_ipc
