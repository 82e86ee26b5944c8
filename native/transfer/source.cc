#include "transfer/source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

namespace cuda_ipc {

namespace {

class MemorySource final : public Source {
 public:
  MemorySource(MemorySpan span, size_t needed) : data_(span.data) {
    if (needed > span.bytes)
      throw Error("ERR_CUDA_IPC_INVALID_ARGUMENT", "Expected at least " + std::to_string(needed) +
                                                       " bytes in a source in memory, but received " +
                                                       std::to_string(span.bytes));
  }

  void read(size_t offset, void* to, size_t bytes) const override { std::memcpy(to, data_ + offset, bytes); }

 private:
  const unsigned char* data_;
};

class FileSource final : public Source {
 public:
  FileSource(const std::string& path, size_t needed) : path_(path) {
    // Without O_NONBLOCK a FIFO in place of a file would hang the load; on files it means nothing.
    file_.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file_) throw_failure("opening", errno);
    struct stat facts;
    if (::fstat(file_.get(), &facts) != 0) throw_failure("inspecting", errno);
    if (S_ISDIR(facts.st_mode)) throw_failure("reading", EISDIR);
    if (!S_ISREG(facts.st_mode))
      throw Error("ERR_CUDA_IPC_FILE", "\"" + path_ + "\" is not a regular file. Give the path of a file.");
    if (static_cast<size_t>(facts.st_size) < needed) throw_short(facts.st_size, needed);
    ::posix_fadvise(file_.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  }

  void read(size_t offset, void* to, size_t bytes) const override {
    auto* target = static_cast<unsigned char*>(to);
    size_t done = read_cached(offset, target, bytes);
    // Not in the page cache: ask for all of it at once instead of in steps of the kernel's readahead window.
    if (done < bytes) ::posix_fadvise(file_.get(), offset + done, bytes - done, POSIX_FADV_WILLNEED);
    while (done < bytes) {
      const ssize_t count = ::pread(file_.get(), target + done, bytes - done, offset + done);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) throw_failure("reading", errno, offset + done);
      if (count == 0) throw_short(offset + done, offset + bytes);
      done += count;
    }
  }

 private:
  // What the page cache has, without waiting for the disk. 0 where the file system cannot tell.
  size_t read_cached(size_t offset, unsigned char* to, size_t bytes) const {
    const iovec target{to, bytes};
    const ssize_t count = ::preadv2(file_.get(), &target, 1, offset, RWF_NOWAIT);
    return count < 0 ? 0 : count;
  }

  [[noreturn]] void throw_failure(const char* doing, int error_number, size_t offset = 0) const {
    const bool limit = error_number == EMFILE || error_number == ENFILE;
    Error error(limit ? "ERR_CUDA_IPC_FD_LIMIT" : "ERR_CUDA_IPC_FILE",
                std::string("Failed at ") + doing + " \"" + path_ +
                    "\": " + std::generic_category().message(error_number) + " (errno " +
                    std::to_string(error_number) + ").");
    error.system_errno = error_number;
    error.details.emplace_back("offset", offset);
    throw error;
  }

  [[noreturn]] void throw_short(size_t end, size_t needed) const {
    Error error(
        "ERR_CUDA_IPC_FILE_CHANGED",
        "\"" + path_ + "\" ends at byte " + std::to_string(end) + ", but " + std::to_string(needed) +
            " bytes of it were to be read: it is incomplete or was changed while it was loaded. Load it "
            "again when nothing writes to it.");
    error.details.emplace_back("offset", end);
    error.details.emplace_back("neededBytes", needed);
    throw error;
  }

  std::string path_;
  Fd file_;
};

}  // namespace

std::unique_ptr<Source> open_source(const SourceName& name, size_t needed) {
  if (const auto* file = std::get_if<FilePath>(&name))
    return std::make_unique<FileSource>(file->path, needed);
  return std::make_unique<MemorySource>(std::get<MemorySpan>(name), needed);
}

}  // namespace cuda_ipc
