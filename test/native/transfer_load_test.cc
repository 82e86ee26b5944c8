// Loads on the host driver: the right bytes, at the right places, and every way to fail.
#include "transfer/load.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <mutex>
#include <string>

#include "check.h"
#include "driver/driver.h"
#include "fresh_scope.h"
#include "memory/device_memory.h"
#include "transfer/chunk_readers.h"
#include "transfer/page_cache.h"

using namespace cuda_ipc;

namespace {

constexpr size_t kChunk = 64 << 10;
using Bytes = std::vector<unsigned char>;

struct Observer : LoadObserver {
  bool cancelled() const override { return bytes >= cancel_at; }
  void arrived(size_t count) override { bytes += count; }
  std::atomic<size_t> bytes{0};
  size_t cancel_at = ~size_t{0};
};

class TemporaryFile {
 public:
  explicit TemporaryFile(const Bytes& content) {
    const int fd = ::mkstemp(path);
    CHECK(fd >= 0);
    CHECK(::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
    ::close(fd);
  }
  ~TemporaryFile() { ::unlink(path); }
  char path[64] = "/tmp/cuda-ipc-load-XXXXXX";
};

Bytes numbered(size_t count) {
  Bytes bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<unsigned char>(i * 2654435761u >> 13);
  return bytes;
}

void drop_cache(const char* path) {
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  CHECK(fd >= 0 && ::fsync(fd) == 0 && ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
  ::close(fd);
}

long cached_pages(const char* path) {
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  struct stat facts;
  CHECK(fd >= 0 && ::fstat(fd, &facts) == 0);
  const size_t page = ::sysconf(_SC_PAGESIZE);
  void* mapped = ::mmap(nullptr, facts.st_size, PROT_READ, MAP_SHARED, fd, 0);
  Bytes pages((facts.st_size + page - 1) / page);
  CHECK(mapped != MAP_FAILED && ::mincore(mapped, facts.st_size, pages.data()) == 0);
  ::munmap(mapped, facts.st_size);
  ::close(fd);
  return std::count_if(pages.begin(), pages.end(), [](unsigned char present) { return present & 1; });
}

bool has_direct_reads(const char* path) {
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
  if (fd >= 0) ::close(fd);
  return fd >= 0;
}

LoadPlan plan_for(const DeviceMemory& memory) {
  LoadPlan plan;
  plan.base = memory.pointer();
  plan.chunk_bytes = kChunk;
  return plan;
}

Bytes read_back(const DeviceMemory& memory) {
  const ContextScope scope(0);
  Bytes bytes(memory.bytes());
  CUDA_IPC_CHECK(cuMemcpyDtoH(bytes.data(), memory.pointer(), bytes.size()));
  return bytes;
}

void place(Bytes& expected, const LoadRun& run, const Bytes& source) {
  std::copy_n(source.begin() + run.offset, run.bytes, expected.begin() + run.target);
}

void right_bytes() {
  const Bytes in_file = numbered(20 * kChunk + 777);
  const Bytes in_memory = numbered(3 * kChunk);
  const TemporaryFile file(in_file);
  const DeviceMemory memory(0, 32 * kChunk);
  for (const unsigned threads : {0u, 1u, 5u}) {
    LoadPlan plan = plan_for(memory);
    plan.threads = threads;
    plan.sources = {FilePath{file.path}, MemorySpan{in_memory.data(), in_memory.size()}};
    plan.runs = {{0, 3, 20 * kChunk + 774, 1}, {1, 1, 2 * kChunk, 25 * kChunk + 3}, {1, 9, 0, 5}};
    {
      const ContextScope scope(0);
      CUDA_IPC_CHECK(cuMemsetD8(memory.pointer(), 0xcc, memory.bytes()));
    }
    Observer observer;
    const LoadResult result = load(plan, observer);
    Bytes expected(memory.bytes(), 0xcc);
    place(expected, plan.runs[0], in_file);
    place(expected, plan.runs[1], in_memory);
    CHECK(read_back(memory) == expected);
    CHECK(result.bytes == 22 * kChunk + 774 && observer.bytes == result.bytes);
    CHECK(threads == 0 || result.threads == threads);
    CHECK(result.staging_bytes >= kChunk && result.staging_bytes <= 3 * kChunk * result.threads);
  }
}

// Whatever lies where, and however it is read: at and around blocks, words, and the end of the file.
void every_access() {
  const Bytes in_file = numbered(5 * kChunk + 777);
  const TemporaryFile file(in_file);
  const DeviceMemory memory(0, 8 * kChunk);
  for (const FileAccess access : {FileAccess::kAuto, FileAccess::kBuffered, FileAccess::kDirect})
    for (const bool cached : {true, false})
      for (const size_t offset : {0, 1, 8, 4095, 4096, 4104})
        for (const size_t target : {0, 8, 1})
          for (const size_t chunk : {kChunk, size_t{4096}, size_t{1000}}) {
            if (!cached) drop_cache(file.path);
            LoadPlan plan = plan_for(memory);
            plan.access = access;
            plan.chunk_bytes = chunk;
            plan.sources = {FilePath{file.path}};
            plan.runs = {{0, offset, 4 * kChunk + 777, target},
                         {0, in_file.size() - 5, 5, 5 * kChunk},
                         {0, offset, 1, 6 * kChunk}};
            Observer observer;
            load(plan, observer);
            Bytes expected = read_back(memory);
            for (const LoadRun& run : plan.runs) place(expected, run, in_file);
            CHECK(read_back(memory) == expected);
          }
}

// Every byte lands once, and what one thread copies side by side in few pieces; not across what lies between.
void neighbours_land_together() {
  struct Landing : Observer {
    void landing(cu::CUstream, size_t target, size_t bytes) override {
      const std::lock_guard<std::mutex> lock(mutex);
      pieces.push_back({target, bytes});
    }
    std::mutex mutex;
    std::vector<std::pair<size_t, size_t>> pieces;
  };
  const Bytes content = numbered(64 * kChunk);
  const DeviceMemory memory(0, 64 * kChunk);
  for (const unsigned threads : {1u, 3u}) {
    LoadPlan plan = plan_for(memory);
    plan.threads = threads;
    plan.sources = {MemorySpan{content.data(), content.size()}};
    plan.runs = {
        {0, 0, 2 * kChunk, 0}, {0, 0, 21 * kChunk, 2 * kChunk}, {0, 0, 33 * kChunk + 8, 26 * kChunk}};
    Landing observer;
    load(plan, observer);
    std::sort(observer.pieces.begin(), observer.pieces.end());
    std::vector<std::pair<size_t, size_t>> landed;
    for (const auto& [target, bytes] : observer.pieces) {
      if (landed.empty() || landed.back().first + landed.back().second != target)
        landed.push_back({target, 0});
      landed.back().second += bytes;
    }
    CHECK(
        (landed == std::vector<std::pair<size_t, size_t>>{{0, 23 * kChunk}, {26 * kChunk, 33 * kChunk + 8}}));
    // 57 chunks.
    CHECK(observer.pieces.size() < 30);
  }
}

// Few chunks are smaller, so that no thread has many more bytes to read than another.
void chunks_of_small_loads() {
  const auto chunk_bytes = [](size_t bytes, unsigned threads) {
    LoadPlan plan;
    plan.threads = threads;
    plan.runs = {{0, 0, bytes / 2, 0}, {0, 0, bytes / 2, bytes / 2}};
    return repaid_chunk_bytes(plan);
  };
  constexpr size_t kUsual = 4 << 20;
  CHECK(chunk_bytes(0, 1) == kUsual / 2);
  CHECK(chunk_bytes(16 << 20, 10) == kUsual / 2);
  CHECK(chunk_bytes(16 << 20, 1) == kUsual / 2);
  CHECK(chunk_bytes(40 << 20, 1) == kUsual);
  CHECK(chunk_bytes(300 << 20, 10) == kUsual / 2);
  CHECK(chunk_bytes(320 << 20, 10) == kUsual);
}

// The next reader finds in the page cache what a buffered load has read, and nothing of a direct one.
void what_is_left_in_the_page_cache() {
  const TemporaryFile file(numbered(16 * kChunk));
  const DeviceMemory memory(0, 16 * kChunk);
  LoadPlan plan = plan_for(memory);
  plan.sources = {FilePath{file.path}};
  plan.runs = {{0, 0, 16 * kChunk, 0}};
  Observer observer;
  drop_cache(file.path);
  if (cached_pages(file.path) != 0 || !has_direct_reads(file.path)) return;  // a file system in memory
  load(plan, observer);
  CHECK(cached_pages(file.path) == 0);
  plan.access = FileAccess::kBuffered;
  load(plan, observer);
  CHECK(cached_pages(file.path) == static_cast<long>(16 * kChunk) / ::sysconf(_SC_PAGESIZE));
}

// The kernel tells nobody what others' files have in the cache, and what it says instead is that all is
// there.
void whose_page_cache_is_told() {
  const TemporaryFile file(numbered(100));
  const auto told = [](const char* path) {
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    const bool tells = PageCacheView::tells(fd);
    ::close(fd);
    return tells;
  };
  CHECK(told(file.path));
  if (::geteuid() != 0) {
    CHECK(!told("/etc/passwd"));
    return;
  }
  CHECK(::chmod(file.path, 0644) == 0 && ::seteuid(65534) == 0);
  const bool others = told(file.path);
  CHECK(::seteuid(0) == 0 && ::chmod(file.path, 0666) == 0 && ::seteuid(65534) == 0);
  const bool writable = told(file.path);
  CHECK(::seteuid(0) == 0);
  CHECK(!others);
  CHECK(writable);
}

void small_loads_stay_small() {
  const Bytes content = numbered(2000);
  const DeviceMemory memory(0, 4096);
  LoadPlan plan = plan_for(memory);
  plan.sources = {MemorySpan{content.data(), content.size()}};
  plan.runs = {{0, 0, 1000, 0}, {0, 1000, 1000, 1000}};
  Observer observer;
  const LoadResult result = load(plan, observer);
  CHECK(result.threads == 1);
  CHECK(result.staging_bytes <= 3000);
  plan.runs.clear();
  CHECK(load(plan, observer).bytes == 0);
}

void failures() {
  const Bytes content = numbered(30 * kChunk);
  const TemporaryFile file(content);
  const DeviceMemory memory(0, content.size());
  LoadPlan plan = plan_for(memory);
  Observer observer;
  plan.runs = {{0, 0, content.size(), 0}};

  plan.sources = {FilePath{std::string(file.path) + ".missing"}};
  CHECK(thrown("ERR_CUDA_IPC_FILE", [&] { load(plan, observer); }).system_errno == ENOENT);
  plan.sources = {FilePath{"/tmp"}};
  CHECK(thrown("ERR_CUDA_IPC_FILE", [&] { load(plan, observer); }).system_errno == EISDIR);
  const std::string fifo = std::string(file.path) + ".fifo";
  CHECK(::mkfifo(fifo.c_str(), 0600) == 0);
  plan.sources = {FilePath{fifo}};
  thrown("ERR_CUDA_IPC_FILE", [&] { load(plan, observer); });
  ::unlink(fifo.c_str());

  plan.sources = {FilePath{file.path}};
  plan.runs[0].offset = 1;
  CHECK(contains(thrown("ERR_CUDA_IPC_FILE_CHANGED", [&] { load(plan, observer); }).what(), file.path));
  plan.runs[0].offset = 0;
  plan.sources = {MemorySpan{content.data(), content.size() - 1}};
  thrown("ERR_CUDA_IPC_INVALID_ARGUMENT", [&] { load(plan, observer); });
  CHECK(observer.bytes == 0);

  // Memory that is not there.
  plan.sources = {FilePath{file.path}};
  plan.base += 1ull << 40;
  thrown("ERR_CUDA_IPC_CUDA", [&] { load(plan, observer); });
}

// Truncated after it was opened and measured.
void truncated_while_loading() {
  const TemporaryFile file(numbered(30 * kChunk));
  const DeviceMemory memory(0, 30 * kChunk);
  struct Truncating : Observer {
    void arrived(size_t count) override {
      Observer::arrived(count);
      CHECK(::truncate(path, 100) == 0);
    }
    const char* path;
  } observer;
  observer.path = file.path;
  LoadPlan plan = plan_for(memory);
  plan.threads = 1;
  plan.sources = {FilePath{file.path}};
  plan.runs = {{0, 0, 30 * kChunk, 0}};
  thrown("ERR_CUDA_IPC_FILE_CHANGED", [&] { load(plan, observer); });
}

void cancelling() {
  const Bytes content = numbered(64 * kChunk);
  const DeviceMemory memory(0, content.size());
  LoadPlan plan = plan_for(memory);
  plan.sources = {MemorySpan{content.data(), content.size()}};
  plan.runs = {{0, 0, content.size(), 0}};
  Observer at_once;
  at_once.cancel_at = 0;
  thrown("ERR_CUDA_IPC_ABORTED", [&] { load(plan, at_once); });
  CHECK(at_once.bytes == 0);
  Observer half_way;
  half_way.cancel_at = content.size() / 2;
  thrown("ERR_CUDA_IPC_ABORTED", [&] { load(plan, half_way); });
  CHECK(half_way.bytes < content.size());
}

}  // namespace

int main() {
  use_fresh_scope();
  choose_provider("host");
  right_bytes();
  every_access();
  neighbours_land_together();
  chunks_of_small_loads();
  what_is_left_in_the_page_cache();
  whose_page_cache_is_told();
  small_loads_stay_small();
  failures();
  truncated_while_loading();
  cancelling();
}
