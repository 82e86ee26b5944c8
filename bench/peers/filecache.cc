// What a file system has of a file in memory, and what the disk gives without it.
//
// Commands on standard input, one JSON line for each:
//
//   drop FILE                         writes back what is dirty, then asks the kernel to forget the pages
//
//   warm FILE                         reads all of it
//
//   direct THREADS CHUNK_BYTES FILE   reads all of it past the page cache (O_DIRECT) by so many threads, and
//                                     drops it: what `dd iflag=direct` gives at the same parallelism
//
// drop and warm say how much of the file is in the page cache afterwards, by mincore(2).
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "clock.h"

namespace {

void require(bool ok, const char* call) {
  if (ok) return;
  std::perror(call);
  std::exit(1);
}

struct File {
  File(const std::string& path, int flags) : fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags)) {
    struct stat facts;
    if (fd < 0) return;
    require(::fstat(fd, &facts) == 0, "fstat");
    bytes = static_cast<size_t>(facts.st_size);
  }
  ~File() {
    if (fd >= 0) ::close(fd);
  }
  int fd;
  size_t bytes = 0;
};

double resident(const File& file) {
  if (file.bytes == 0) return 0;
  const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  void* mapped = ::mmap(nullptr, file.bytes, PROT_READ, MAP_SHARED, file.fd, 0);
  require(mapped != MAP_FAILED, "mmap");
  std::vector<unsigned char> pages((file.bytes + page - 1) / page);
  require(::mincore(mapped, file.bytes, pages.data()) == 0, "mincore");
  ::munmap(mapped, file.bytes);
  size_t count = 0;
  for (const unsigned char present : pages) count += present & 1;
  return static_cast<double>(count) / static_cast<double>(pages.size());
}

void drop(const std::string& path) {
  const File file(path, 0);
  require(file.fd >= 0, path.c_str());
  // Dirty pages cannot be forgotten, so they are written first.
  require(::fsync(file.fd) == 0, "fsync");
  require(::posix_fadvise(file.fd, 0, 0, POSIX_FADV_DONTNEED) == 0, "posix_fadvise");
  std::printf("{\"resident\":%.6f}\n", resident(file));
}

void warm(const std::string& path) {
  const File file(path, 0);
  require(file.fd >= 0, path.c_str());
  std::vector<char> buffer(8 << 20);
  ssize_t count;
  while ((count = ::read(file.fd, buffer.data(), buffer.size())) > 0) {
  }
  require(count == 0, "read");
  std::printf("{\"resident\":%.6f}\n", resident(file));
}

void read_direct(unsigned threads, size_t chunk_bytes, const std::string& path) {
  const File file(path, O_DIRECT);
  if (file.fd < 0) {
    std::printf("{\"unsupported\":true}\n");
    return;
  }
  constexpr size_t kAlignment = 4096;
  std::atomic<size_t> next{0};
  std::atomic<bool> failed{false};
  const size_t chunks = (file.bytes + chunk_bytes - 1) / chunk_bytes;
  const int64_t begin = peers::now();
  std::vector<std::thread> readers;
  for (unsigned i = 0; i < threads; ++i)
    readers.emplace_back([&] {
      void* buffer = std::aligned_alloc(kAlignment, chunk_bytes);
      for (size_t index; !failed && (index = next.fetch_add(1)) < chunks;) {
        const size_t most = std::min(chunk_bytes, file.bytes - index * chunk_bytes);
        for (size_t done = 0; done < most;) {
          const ssize_t count = ::pread(file.fd, static_cast<char*>(buffer) + done, chunk_bytes - done,
                                        static_cast<off_t>(index * chunk_bytes + done));
          if (count <= 0) {
            failed = true;
            break;
          }
          done += static_cast<size_t>(count);
        }
      }
      std::free(buffer);
    });
  for (std::thread& reader : readers) reader.join();
  const double seconds = peers::milliseconds(begin, peers::now()) / 1e3;
  if (failed)
    std::printf("{\"unsupported\":true}\n");
  else
    std::printf("{\"bytes\":%zu,\"seconds\":%.9f}\n", file.bytes, seconds);
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string command, path;
    unsigned threads = 1;
    size_t chunk_bytes = 2 << 20;
    words >> command;
    if (command == "direct") words >> threads >> chunk_bytes;
    words >> std::ws;
    std::getline(words, path);
    if (command == "drop")
      drop(path);
    else if (command == "warm")
      warm(path);
    else if (command == "direct")
      read_direct(threads, chunk_bytes, path);
    else {
      std::fprintf(stderr, "filecache: expected drop, warm or direct, but received %s\n", line.c_str());
      return 2;
    }
    std::fflush(stdout);
  }
  return 0;
}
