// The floor of a load: a file into device memory by plain threads, pinned rings and streams, with nothing
// else in the program.
//
//   loadfloor DRIVER SHARING DEVICE
//
// brings CUDA up, prints {"event":"ready"}, and then takes commands on standard input:
//
//   load THREADS CHUNK_BYTES RING_CHUNKS OFFSET BYTES FILE
//   forget
//
// load allocates device memory, loads so many bytes of the file into it, compares both ends, frees it, and
// prints one JSON line. Pinned rings and streams are kept for the next load of the same shape; forget frees
// them, so that the next load pins anew. Times are in milliseconds: `allocate` the device memory, `pin` until
// the slowest reader is ready, `copy` from the readers' start (pinning included) to the last byte on the
// device, `total` all of it.
#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>

#include "floor/exporter.h"
#include "loadfloor/reader.h"

namespace floor_program {

struct Target {
  cu::CUdeviceptr pointer = 0;
  cu::CUmemGenericAllocationHandle handle = 0;  // vmm
  size_t bytes = 0;
};

Target allocate(const cu::Table& cuda, cu::CUdevice device, const std::string& sharing, size_t bytes) {
  constexpr size_t kBlock = 2 << 20;
  Target it;
  it.bytes = (bytes + kBlock - 1) / kBlock * kBlock;
  if (sharing == "ipc") {
    FLOOR_CHECK(cuda, cuMemAlloc(&it.pointer, it.bytes));
    return it;
  }
  cu::CUmemAllocationProp properties{};
  properties.type = cu::CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.requestedHandleTypes = cu::CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  properties.location = location_of(device);
  const cu::CUmemAccessDesc access{properties.location, cu::CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
  FLOOR_CHECK(cuda, cuMemCreate(&it.handle, it.bytes, &properties, 0));
  FLOOR_CHECK(cuda, cuMemAddressReserve(&it.pointer, it.bytes, 0, 0, 0));
  FLOOR_CHECK(cuda, cuMemMap(it.pointer, it.bytes, 0, it.handle, 0));
  FLOOR_CHECK(cuda, cuMemSetAccess(it.pointer, it.bytes, &access, 1));
  return it;
}

void free_target(const cu::Table& cuda, const Target& it) {
  if (it.handle == 0) {
    FLOOR_CHECK(cuda, cuMemFree(it.pointer));
    return;
  }
  FLOOR_CHECK(cuda, cuMemUnmap(it.pointer, it.bytes));
  FLOOR_CHECK(cuda, cuMemAddressFree(it.pointer, it.bytes));
  FLOOR_CHECK(cuda, cuMemRelease(it.handle));
}

void verify(const cu::Table& cuda, const LoadJob& job) {
  const size_t bytes = std::min<size_t>(4096, job.bytes);
  std::vector<unsigned char> expected(bytes), found(bytes);
  for (const size_t at : {size_t{0}, job.bytes - bytes}) {
    read_all(job.file, expected.data(), bytes, job.offset + at);
    FLOOR_CHECK(cuda, cuMemcpyDtoH(found.data(), job.target + at, bytes));
    if (found == expected) continue;
    std::fprintf(stderr, "loadfloor: the device holds other bytes than the file at %zu\n", at);
    std::exit(1);
  }
}

// The readers of the load before, for the next one of the same shape.
struct Kept {
  Shape shape;
  std::vector<std::unique_ptr<Reader>> readers;

  void forget() {
    for (const auto& reader : readers) reader->undo();
    readers.clear();
  }
};

void raise_to(std::atomic<int64_t>& latest, int64_t time) {
  for (int64_t seen = latest; seen < time && !latest.compare_exchange_weak(seen, time);) {
  }
}

void load(const cu::Table& cuda, cu::CUdevice device, const std::string& sharing, Kept& kept, LoadJob job) {
  cu::CUcontext context;
  FLOOR_CHECK(cuda, cuCtxGetCurrent(&context));
  const bool ready_before = !kept.readers.empty();
  kept.readers.resize(kept.shape.threads);
  const int64_t begin = peers::now();
  const Target target = allocate(cuda, device, sharing, job.bytes);
  job.target = target.pointer;
  const int64_t allocated = peers::now();
  std::atomic<size_t> next{0};
  std::atomic<int64_t> ready{allocated};
  std::vector<std::thread> threads;
  for (auto& reader : kept.readers)
    threads.emplace_back([&] {
      FLOOR_CHECK(cuda, cuCtxPushCurrent(context));
      if (!ready_before) {
        reader = std::make_unique<Reader>(cuda, kept.shape);
        raise_to(ready, peers::now());
      }
      reader->run(job, next);
    });
  for (std::thread& thread : threads) thread.join();
  const int64_t end = peers::now();
  verify(cuda, job);
  free_target(cuda, target);
  std::printf("{\"bytes\":%zu,\"total\":%.6f,\"parts\":{\"allocate\":%.6f,\"pin\":%.6f,\"copy\":%.6f}}\n",
              job.bytes, peers::milliseconds(begin, end), peers::milliseconds(begin, allocated),
              peers::milliseconds(allocated, ready), peers::milliseconds(allocated, end));
  std::fflush(stdout);
}

int serve(const std::string& driver, const std::string& sharing, int ordinal) {
  const cu::Table& cuda = choose(driver);
  FLOOR_CHECK(cuda, cuInit(0));
  const cu::CUdevice device = bring_up_context(cuda, ordinal);
  std::printf("{\"event\":\"ready\"}\n");
  std::fflush(stdout);
  Kept kept;
  for (std::string line; std::getline(std::cin, line);) {
    if (line == "forget") {
      kept.forget();
      continue;
    }
    std::istringstream words(line);
    std::string command, path;
    Shape shape;
    LoadJob job;
    words >> command >> shape.threads >> shape.chunk_bytes >> shape.ring >> job.offset >> job.bytes >>
        std::ws;
    std::getline(words, path);
    if (command != "load" || path.empty() || shape.threads == 0 || shape.chunk_bytes == 0 ||
        shape.ring == 0 || job.bytes == 0) {
      std::fprintf(stderr, "loadfloor: expected load THREADS CHUNK RING OFFSET BYTES FILE, but received %s\n",
                   line.c_str());
      return 2;
    }
    if (!(shape == kept.shape)) kept.forget();
    kept.shape = shape;
    job.file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    require(job.file >= 0, path.c_str());
    load(cuda, device, sharing, kept, job);
    ::close(job.file);
  }
  kept.forget();
  return 0;
}

}  // namespace floor_program

int main(int count, char** words) {
  if (count == 4) return floor_program::serve(words[1], words[2], std::stoi(words[3]));
  std::fprintf(stderr, "usage: loadfloor DRIVER SHARING DEVICE\n");
  return 2;
}
