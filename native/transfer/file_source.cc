#include "transfer/file_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

#include "driver/error.h"

namespace cuda_ipc {

namespace {

constexpr size_t kSector = 512;

}  // namespace

FileSource::FileSource(const std::string& path, size_t needed, FileAccess access)
    : path_(path), access_(access) {
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
  // Where nobody can tell: what is in the cache would come from the disk by direct reads, ten times slower.
  if (access_ == FileAccess::kAuto && !PageCacheView::tells(file_.get())) access_ = FileAccess::kBuffered;
  if (access_ == FileAccess::kAuto) cache_.emplace(file_.get(), needed);
}

const unsigned char* FileSource::read(size_t offset, size_t bytes, Staging staging) const {
  const bool cached = access_ == FileAccess::kAuto && cache_->holds(offset, bytes);
  if (!cached) {
    if (access_ != FileAccess::kBuffered && read_direct(offset, bytes, staging))
      return staging.data + offset % kFileBlock;
    // Ask for all of it at once instead of in steps of the kernel's readahead window.
    ::posix_fadvise(file_.get(), offset, bytes, POSIX_FADV_WILLNEED);
  }
  read_through_cache(offset, bytes, staging.data);
  return staging.data;
}

bool FileSource::read_direct(size_t offset, size_t bytes, Staging staging) const {
  const size_t lead = offset % kFileBlock;
  const size_t whole = blocks_around(offset, bytes);
  const bool aligned = reinterpret_cast<uintptr_t>(staging.data) % kFileBlock == 0;
  if (!aligned || whole > staging.bytes || direct_fd() < 0) return false;
  for (size_t done = 0; done < lead + bytes;) {
    const ssize_t count = ::pread(direct_.get(), staging.data + done, whole - done, offset - lead + done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EINVAL) return false;  // as some file systems say only now
    if (count < 0) throw_failure("reading", errno, offset - lead + done);
    if (count == 0) throw_short(offset - lead + done, offset + bytes);
    done += count;
    // Only the file's end is not at a sector's.
    if (done < lead + bytes && done % kSector != 0) throw_short(offset - lead + done, offset + bytes);
  }
  return true;
}

void FileSource::read_through_cache(size_t offset, size_t bytes, unsigned char* to) const {
  for (size_t done = 0; done < bytes;) {
    const ssize_t count = ::pread(file_.get(), to + done, bytes - done, offset + done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw_failure("reading", errno, offset + done);
    if (count == 0) throw_short(offset + done, offset + bytes);
    done += count;
  }
}

int FileSource::direct_fd() const {
  // Through the open file, not the path: what is there by now may be another one.
  std::call_once(opened_direct_, [this] {
    const std::string same = "/proc/self/fd/" + std::to_string(file_.get());
    direct_.reset(::open(same.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT));
  });
  return direct_.get();
}

void FileSource::throw_failure(const char* doing, int error_number, size_t offset) const {
  const bool limit = error_number == EMFILE || error_number == ENFILE;
  Error error(limit ? "ERR_CUDA_IPC_FD_LIMIT" : "ERR_CUDA_IPC_FILE",
              std::string("Failed at ") + doing + " \"" + path_ +
                  "\": " + std::generic_category().message(error_number) + " (errno " +
                  std::to_string(error_number) + ").");
  error.system_errno = error_number;
  error.details.emplace_back("offset", offset);
  throw error;
}

void FileSource::throw_short(size_t end, size_t needed) const {
  Error error(
      "ERR_CUDA_IPC_FILE_CHANGED",
      "\"" + path_ + "\" ends at byte " + std::to_string(end) + ", but " + std::to_string(needed) +
          " bytes of it were to be read: it is incomplete or was changed while it was loaded. Load it "
          "again when nothing writes to it.");
  error.details.emplace_back("offset", end);
  error.details.emplace_back("neededBytes", needed);
  throw error;
}

}  // namespace cuda_ipc
