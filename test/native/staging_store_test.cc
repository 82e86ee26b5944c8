// Staging memory stays locked from one load to the next of the same process, and not for longer than it is of
// use.
#include "transfer/staging_store.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "host_test.h"
#include "memory/device_memory.h"
#include "transfer/load.h"

namespace {

constexpr size_t kChunk = 64 << 10;
constexpr auto kForever = std::chrono::hours(1);

// Stores live as long as the process.
StagingStore& make_store(size_t most_bytes, StagingStore::Clock::duration idle_life = kForever) {
  return *new StagingStore(most_bytes, idle_life);
}

std::unique_ptr<PinnedMemory> locked(size_t bytes, int device = 0) {
  const ContextScope scope(device);
  auto memory = std::make_unique<PinnedMemory>(device, bytes);
  memory->lock();
  return memory;
}

bool is_mapped(const void* memory) {
  unsigned char state = 0;
  const int result = ::mincore(const_cast<void*>(memory), 1, &state);
  CHECK(result == 0 || errno == ENOMEM);
  return result == 0;
}

bool is_registered(void* memory) {
  const ContextScope scope(0);
  const bool registered = host::table().cuMemHostUnregister(memory) == CUDA_SUCCESS;
  if (registered) OK(cuMemHostRegister(memory, kChunk, CU_MEMHOSTREGISTER_PORTABLE));
  return registered;
}

struct Observer : LoadObserver {
  bool cancelled() const override { return cancel; }
  void arrived(size_t) override { cancel = cancel_at_arrival; }
  bool cancel_at_arrival = false;
  std::atomic<bool> cancel{false};
};

// Under it a copy is never seen to have arrived before it was waited for, so that a load takes both chunks.
constexpr const char* kBothChunks = "cuEventQuery:*=600";

// One thread, two chunks.
void load_once(int device = 0, Observer* observer = nullptr, size_t chunk_bytes = kChunk) {
  static const std::vector<unsigned char> content(16 * kChunk, 7);
  const DeviceMemory memory(device, content.size());
  LoadPlan plan;
  plan.device = device;
  plan.base = memory.pointer();
  plan.threads = 1;
  plan.chunk_bytes = chunk_bytes;
  plan.sources = {MemorySpan{content.data(), content.size()}};
  plan.runs = {{0, 0, content.size(), 0}};
  Observer own;
  load(plan, observer != nullptr ? *observer : own);
  const ContextScope scope(device);
  CHECK(all_are(read_back(memory.pointer(), content.size()), 7));
}

void the_smallest_that_fits() {
  StagingStore& store = make_store(16 * kMiB);
  auto small = locked(kMiB);
  auto large = locked(4 * kMiB);
  const unsigned char* const small_data = small->data();
  const unsigned char* const large_data = large->data();
  store.give(std::move(large));
  store.give(std::move(small));
  CHECK(store.bytes() == 6 * kMiB);  // in whole huge pages
  auto taken = store.take(kMiB - 1);
  CHECK(taken->data() == small_data && taken->locked());
  CHECK(store.bytes() == 4 * kMiB);
  CHECK(store.take(1)->data() == large_data);
  CHECK(store.take(1) == nullptr);
}

// A load that finds nothing large enough has all of the host's memory for what it locks itself.
void what_is_too_small_makes_room() {
  StagingStore& store = make_store(16 * kMiB);
  auto memory = locked(kChunk);
  unsigned char* const data = memory->data();
  store.give(std::move(memory));
  CHECK(is_mapped(data) && is_registered(data));
  CHECK(store.take(kMiB) == nullptr);
  CHECK(store.bytes() == 0 && !is_mapped(data) && !is_registered(data));
}

void no_more_than_it_may_keep() {
  StagingStore& store = make_store(6 * kMiB);
  auto oldest = locked(kMiB);
  auto largest = locked(4 * kMiB);
  const unsigned char* const oldest_data = oldest->data();
  const unsigned char* const largest_data = largest->data();
  store.give(std::move(oldest));
  store.give(std::move(largest));
  CHECK(store.bytes() == 6 * kMiB);
  store.give(locked(8 * kMiB));
  store.give(std::make_unique<PinnedMemory>(0, kMiB));  // not locked
  CHECK(store.bytes() == 6 * kMiB);
  store.give(locked(kMiB));
  CHECK(store.bytes() == 4 * kMiB && !is_mapped(largest_data) && is_mapped(oldest_data));
  for (int i = 0; i < 2; ++i) store.give(locked(kMiB));
  CHECK(store.bytes() == 6 * kMiB && !is_mapped(oldest_data));
}

void let_go_when_idle() {
  StagingStore& store = make_store(16 * kMiB, std::chrono::milliseconds(1));
  for (int round = 0; round < 2; ++round) {  // the thread has ended after the first
    auto memory = locked(kChunk);
    unsigned char* const data = memory->data();
    store.give(std::move(memory));
    store.give(locked(kChunk));
    store.wait_until_empty();
    CHECK(store.bytes() == 0 && !is_mapped(data) && !is_registered(data));
  }
}

// What the driver has not unlocked is never mapped anew: nothing at its address could be locked.
void left_alone_where_the_driver_does_not_let_go() {
  StagingStore& store = make_store(16 * kMiB, std::chrono::milliseconds(1));
  auto memory = locked(kChunk);
  unsigned char* const data = memory->data();
  host::set_faults("cuMemHostUnregister:*=999");
  store.give(std::move(memory));
  store.wait_until_empty();
  host::set_faults("");
  CHECK(store.bytes() == 0 && is_mapped(data) && is_registered(data));
}

void the_next_load_locks_nothing() {
  host::set_faults(kBothChunks);
  load_once();
  CHECK(staging_store().bytes() == 2 * 2 * kMiB);
  host::set_faults((std::string(kBothChunks) + ",cuMemHostRegister:*=2,cuMemHostUnregister:*=kill").c_str());
  load_once();
  load_once(1);  // locked in the context of another device
  host::set_faults(kBothChunks);
  load_once(0, nullptr, 2 * kChunk);
  CHECK(staging_store().bytes() == 2 * 2 * kMiB);
}

void failed_loads() {
  host::set_faults(kBothChunks);
  load_once();
  Observer aborting;
  aborting.cancel_at_arrival = true;
  thrown("ERR_CUDA_IPC_ABORTED", [&] { load_once(0, &aborting); });
  CHECK(staging_store().bytes() == 2 * 2 * kMiB);
  host::set_faults((std::string(kBothChunks) + ",cuMemcpyHtoDAsync:5=1").c_str());
  thrown("ERR_CUDA_IPC_CUDA", [] { load_once(); });
  CHECK(staging_store().bytes() == 2 * 2 * kMiB);
  // Nobody knows whether the device still reads it.
  host::set_faults("cuStreamSynchronize:*=999");
  thrown("ERR_CUDA_IPC_CUDA", [] { load_once(); });
  CHECK(staging_store().bytes() == 0);
  host::set_faults("");
  load_once();
}

void in_a_forked_child() {
  load_once();
  const pid_t child = ::fork();
  CHECK(child >= 0);
  if (child == 0) {
    thrown("ERR_CUDA_IPC_FORKED", [] { load_once(); });
    std::exit(0);
  }
  int status = 0;
  CHECK(::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  load_once();
}

// The driver is not called any more once the process exits: for what is kept,
void exit_with_kept_memory(Line&) {
  load_once();
  host::set_faults("cuMemHostUnregister:*=kill");
}

// for what becomes idle by then,
void idle_while_exiting(Line&) {
  StagingStore& store = make_store(16 * kMiB, std::chrono::milliseconds(1));
  auto memory = locked(kChunk);
  const unsigned char* const data = memory->data();
  host::set_faults("cuMemHostUnregister:*=kill");
  note_process_exiting();
  store.give(std::move(memory));
  store.wait_until_empty();
  CHECK(is_mapped(data));  // a copy may still read it
}

// and what was being let go of stops nobody.
void exit_while_letting_go(Line&) {
  StagingStore& store = make_store(64 * kMiB, std::chrono::milliseconds(0));
  host::set_faults("cuMemHostUnregister:*=slow=1");
  for (int i = 0; i < 20; ++i) store.give(locked(kChunk));
}

// As the environment may ask for.
void keep_nothing(Line&) {
  ::setenv("CUDA_IPC_KEEP_STAGING", "0", 1);
  staging_store().give(locked(kChunk));
  CHECK(staging_store().bytes() == 0);
}

}  // namespace

int main(int argc, char** argv) {
  choose_provider("host");
  const std::pair<std::string, void (*)(Line&)> roles[] = {{"keeping nothing", keep_nothing},
                                                           {"keeping", exit_with_kept_memory},
                                                           {"idle", idle_while_exiting},
                                                           {"letting go", exit_while_letting_go}};
  if (argc > 1) {
    Line line(kChildLine);
    for (const auto& [name, run] : roles)
      if (name == argv[1]) run(line);
    return 0;
  }
  use_fresh_scope();
  the_smallest_that_fits();
  what_is_too_small_makes_room();
  no_more_than_it_may_keep();
  let_go_when_idle();
  left_alone_where_the_driver_does_not_let_go();
  the_next_load_locks_nothing();
  failed_loads();
  in_a_forked_child();
  for (const char* role : {"keeping", "idle", "letting go", "keeping nothing"}) Child(role).succeed();
}
