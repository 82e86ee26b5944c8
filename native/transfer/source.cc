#include "transfer/source.h"

#include <cstring>

#include "transfer/file_source.h"

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

  const unsigned char* read(size_t offset, size_t bytes, Staging staging) const override {
    std::memcpy(staging.data, data_ + offset, bytes);
    return staging.data;
  }

 private:
  const unsigned char* data_;
};

}  // namespace

std::unique_ptr<Source> open_source(const SourceName& name, size_t needed, FileAccess access) {
  if (const auto* file = std::get_if<FilePath>(&name))
    return std::make_unique<FileSource>(file->path, needed, access);
  return std::make_unique<MemorySource>(std::get<MemorySpan>(name), needed);
}

}  // namespace cuda_ipc
