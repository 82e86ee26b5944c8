#include "kernels/source_checksum.h"

#include <cstdlib>
#include <mutex>
#include <new>

#include "kernels/host_checksum.h"
#include "kernels/word_gaps.h"
#include "transfer/chunk_readers.h"

namespace cuda_ipc {

namespace {

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

// Direct reads ask for memory that begins and ends with a block.
std::unique_ptr<unsigned char, Free> allocate_blocks(size_t bytes) {
  void* const memory = std::aligned_alloc(kFileBlock, blocks_around(0, bytes));
  if (memory == nullptr) throw std::bad_alloc();
  return std::unique_ptr<unsigned char, Free>(static_cast<unsigned char*>(memory));
}

void add(ChecksumSums& to, const ChecksumSums& sums) {
  to.first += sums.first;
  to.second += sums.second;
}

}  // namespace

Checksum source_checksum(const LoadPlan& plan, size_t bytes, LoadObserver& observer) {
  const auto gaps = word_gaps(plan, bytes);
  if (!gaps)
    throw Error(
        "ERR_CUDA_IPC_INVALID_ARGUMENT",
        "Expected runs in the order of their targets, each at a multiple of 8 bytes, within the first " +
            std::to_string(bytes) + " bytes");
  ChecksumSums total;
  for (const WordRange& gap : *gaps) add(total, sum_zeros(gap.bytes, gap.offset / kChecksumWord));
  ChunkReaders readers(plan, observer);
  std::mutex mutex;
  readers.run([&] {
    const auto staging = allocate_blocks(readers.staging_bytes());
    ChecksumSums mine;
    ChunkReaders::Claim claim;
    while (const auto part = readers.next(claim)) {
      const unsigned char* data = readers.read(*part, staging.get());
      add(mine, sum_words(data, part->bytes, part->target / kChecksumWord));
      observer.arrived(part->bytes);
    }
    std::lock_guard<std::mutex> lock(mutex);
    add(total, mine);
  });
  return finished(total, bytes);
}

}  // namespace cuda_ipc
