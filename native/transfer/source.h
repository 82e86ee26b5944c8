// What a load reads from: a file or memory.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <variant>

#include "memory/fd.h"

namespace cuda_ipc {

class Source {
 public:
  virtual ~Source() = default;
  // Safe to call from several threads at once.
  virtual void read(size_t offset, void* to, size_t bytes) const = 0;
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
std::unique_ptr<Source> open_source(const SourceName& name, size_t needed);

}  // namespace cuda_ipc
