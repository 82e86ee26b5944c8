// The kernel's list of Unix sockets, read for tokens.
#include <fcntl.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <unordered_map>

#include "driver/host/system.h"
#include "driver/host/token.h"
#include "driver/host/token_name.h"

namespace cuda_ipc::host {
namespace {

// The kernel hands the list out a page at a time, whatever is asked for.
constexpr size_t kChunk = 64 << 10;

// Calls visit(MemoryName) for every token of the scope.
template <typename Visit>
cu::CUresult for_each_token(uint64_t scope, Visit visit) {
  const Fd file(open("/proc/net/unix", O_RDONLY | O_CLOEXEC));
  if (!file) return result_of_errno(errno);
  char prefix[48];
  std::snprintf(prefix, sizeof(prefix), " @%s%016" PRIx64 "/", kTokenPrefix, scope);

  std::string text;
  for (;;) {
    const size_t kept = text.size();
    text.resize(kept + kChunk);
    const ssize_t length = read(file.get(), &text[kept], kChunk);
    if (length < 0) return result_of_errno(errno);
    text.resize(kept + static_cast<size_t>(length));
    size_t start = 0;
    for (size_t end; (end = text.find('\n', start)) != std::string::npos; start = end + 1) {
      text[end] = 0;
      const char* name = std::strstr(text.c_str() + start, prefix);
      MemoryName memory{scope, 0, 0, 0};
      if (name != nullptr && std::sscanf(name + std::strlen(prefix), "%d/%" SCNu64 "/%" SCNx64,
                                         &memory.device, &memory.bytes, &memory.id) == 3)
        visit(memory);
    }
    if (length == 0) return cu::CUDA_SUCCESS;
    text.erase(0, start);
  }
}

}  // namespace

cu::CUresult count_bytes(uint64_t scope, int device, uint64_t& bytes) {
  std::unordered_map<uint64_t, uint64_t> allocations;
  const cu::CUresult result = for_each_token(scope, [&](const MemoryName& memory) {
    if (memory.device == device) allocations[memory.id] = memory.bytes;
  });
  bytes = 0;
  for (const auto& [id, size] : allocations) bytes += size;
  return result;
}

cu::CUresult count_tokens(const MemoryName& memory, unsigned& tokens) {
  tokens = 0;
  return for_each_token(memory.scope,
                        [&](const MemoryName& other) { tokens += other.id == memory.id ? 1 : 0; });
}

}  // namespace cuda_ipc::host
