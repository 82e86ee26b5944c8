// What a load reads from: a file or memory.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <variant>

#include "memory/fd.h"

namespace cuda_ipc {

// How files are read. kAuto: what is in the page cache from there, the rest past it, at the disk's own speed
// and without filling host memory. kBuffered leaves the file in the page cache for the next reader. Where a
// file system knows nothing else, each is kBuffered.
enum class FileAccess { kAuto, kBuffered, kDirect };

// What offsets, sizes and memory of direct reads are multiples of.
constexpr size_t kFileBlock = 4096;

// The bytes of all blocks that a range of a file lies in.
inline size_t blocks_around(size_t offset, size_t bytes) {
  const size_t end = offset % kFileBlock + bytes;
  return (end + kFileBlock - 1) / kFileBlock * kFileBlock;
}

// Memory to read into; direct reads need it aligned to blocks.
struct Staging {
  unsigned char* data;
  size_t bytes;
};

class Source {
 public:
  virtual ~Source() = default;
  // Reads `bytes` from `offset` on into `staging`, and returns where in it they begin: a file that is read
  // past the page cache comes in whole blocks. Safe to call from several threads at once.
  virtual const unsigned char* read(size_t offset, size_t bytes, Staging staging) const = 0;
};

// Bytes of the caller's, who keeps them in place.
struct MemorySpan {
  const unsigned char* data;
  size_t bytes;
};

struct FilePath {
  std::string path;
};

using SourceName = std::variant<FilePath, MemorySpan>;

// A source of at least `needed` bytes. Throws Error: ERR_CUDA_IPC_FILE (with errno) for a file that cannot be
// opened or read, ERR_CUDA_IPC_FILE_CHANGED for one that is too short, ERR_CUDA_IPC_INVALID_ARGUMENT for
// memory.
std::unique_ptr<Source> open_source(const SourceName& name, size_t needed, FileAccess access);

}  // namespace cuda_ipc
