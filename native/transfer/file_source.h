// A file as the source of a load.
#pragma once

#include <mutex>
#include <optional>
#include <string>

#include "memory/fd.h"
#include "transfer/page_cache.h"
#include "transfer/source.h"

namespace cuda_ipc {

class FileSource final : public Source {
 public:
  FileSource(const std::string& path, size_t needed, FileAccess access);

  const unsigned char* read(size_t offset, size_t bytes, Staging staging) const override;

 private:
  // False where that cannot be done, and nothing is known of the bytes.
  bool read_direct(size_t offset, size_t bytes, Staging staging) const;
  void read_through_cache(size_t offset, size_t bytes, unsigned char* to) const;
  int direct_fd() const;

  [[noreturn]] void throw_failure(const char* doing, int error_number, size_t offset = 0) const;
  [[noreturn]] void throw_short(size_t end, size_t needed) const;

  std::string path_;
  FileAccess access_;
  Fd file_;
  std::optional<PageCacheView> cache_;
  mutable std::once_flag opened_direct_;
  mutable Fd direct_;  // the same file once more, for direct reads; empty where it has none
};

}  // namespace cuda_ipc
