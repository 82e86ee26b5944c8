// Slabs and their mappings on the host driver: counting, rounding, rollback, and what is left at the end.
#include "memory/slab.h"

#include <thread>
#include <vector>

#include "check.h"
#include "driver/host/host.h"
#include "fresh_scope.h"
#include "memory/ipc_table.h"
#include "memory/open_slab.h"

using namespace cuda_ipc;

namespace {

constexpr size_t kMiB = size_t{1} << 20;

size_t free_bytes() {
  ContextScope scope(0);
  size_t free = 0;
  size_t total = 0;
  CUDA_IPC_CHECK(cuMemGetInfo(&free, &total));
  return free;
}

SlabId new_id() {
  static char last = 0;
  SlabId id{};
  id[15] = ++last;
  return id;
}

MappingTable::Reference open(const SlabId& id, const Slab& slab, Access access) {
  SlabSource source;
  source.id = id;
  source.uuid = device_uuid(0);
  source.bytes = slab.bytes();
  source.access = access;
  source.handle = slab.handle();
  if (!source.handle) source.fd = slab.export_fd();
  return open_slab(source).reference;
}

unsigned read_word(cu::CUdeviceptr pointer) {
  ContextScope scope(0);
  unsigned word = 0;
  CUDA_IPC_CHECK(cuMemcpyDtoH(&word, pointer, sizeof word));
  return word;
}

void fill(cu::CUdeviceptr pointer, size_t bytes, unsigned word) {
  ContextScope scope(0);
  CUDA_IPC_CHECK(cuMemsetD32(pointer, word, bytes / sizeof word));
}

bool holds(size_t mappings, size_t references) {
  const auto statistics = mapping_table().statistics();
  return statistics.entries == mappings && statistics.references == references;
}

void vmm() {
  const SlabId id = new_id();
  const size_t before = free_bytes();
  auto slab = Slab::create(id, 0, 3 * kMiB, Sharing::kVmm);
  CHECK(slab->bytes() == 4 * kMiB);
  CHECK(!slab->handle());
  CHECK((::fcntl(slab->export_fd().get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(before - free_bytes() == 4 * kMiB);
  fill(slab->pointer(), slab->bytes(), 7);
  {
    const auto first = open(id, *slab, Access::kRead);
    const auto second = open(id, *slab, Access::kRead);
    const auto writable = open(id, *slab, Access::kReadWrite);
    CHECK(first->pointer() == second->pointer());
    CHECK(first->pointer() != writable->pointer());
    CHECK(holds(2, 3));
    CHECK(read_word(first->pointer()) == 7);
    thrown("ERR_CUDA_IPC_CUDA", [&] { fill(first->pointer(), 4, 8); });
    fill(writable->pointer(), writable->bytes(), 9);
    CHECK(read_word(first->pointer()) == 9);
    slab.reset();
    CHECK(read_word(first->pointer()) == 9);
    CHECK(before - free_bytes() == 4 * kMiB);
  }
  CHECK(holds(0, 0));
  CHECK(free_bytes() == before);
}

void ipc() {
  const SlabId id = new_id();
  const size_t before = free_bytes();
  auto slab = Slab::create(id, 0, 1, Sharing::kIpc);
  CHECK(slab->bytes() == 2 * kMiB);
  CHECK(slab->handle());
  thrown("ERR_CUDA_IPC_INVALID_STATE", [&] { slab->export_fd(); });
  thrown("ERR_CUDA_IPC_SAME_PROCESS", [&] { RawIpcTable::process().open(*slab->handle(), 0); });
  thrown("ERR_CUDA_IPC_INVALID_ARGUMENT", [&] { Slab::create(id, 0, 1, Sharing::kIpc); });
  CHECK(before - free_bytes() == 2 * kMiB);
  fill(slab->pointer(), slab->bytes(), 11);
  CHECK(holds(0, 0));
  {
    const auto first = open(id, *slab, Access::kRead);
    const auto second = open(id, *slab, Access::kReadWrite);
    CHECK(first->pointer() == slab->pointer() && second->pointer() == slab->pointer());
    CHECK(holds(1, 2));
    slab.reset();
    CHECK(read_word(second->pointer()) == 11);  // not freed under a reference
  }
  CHECK(holds(0, 0));
  CHECK(free_bytes() == before);
}

void refusals() {
  const size_t before = free_bytes();
  const Error error =
      thrown("ERR_CUDA_IPC_OUT_OF_MEMORY", [&] { Slab::create(new_id(), 0, before + 1, Sharing::kVmm); });
  CHECK(error.details.size() == 3);
  CHECK(error.details[0].first == "neededBytes" && error.details[0].second > before);
  CHECK(error.details[1].first == "freeBytes" && error.details[1].second == before);
  thrown("ERR_CUDA_IPC_OUT_OF_MEMORY", [&] { Slab::create(new_id(), 0, before + 1, Sharing::kIpc); });
  thrown("ERR_CUDA_IPC_INVALID_ARGUMENT", [] { Slab::create(new_id(), 0, 0, Sharing::kVmm); });
  thrown("ERR_CUDA_IPC_INVALID_DEVICE", [] { Slab::create(new_id(), 99, 1, Sharing::kVmm); });

  thrown("ERR_CUDA_IPC_INVALID_POINTER", [] { RawIpcTable::process().close(0x1234); });
  SlabSource nothing;
  nothing.id = new_id();
  nothing.uuid = device_uuid(0);
  nothing.bytes = 2 * kMiB;
  nothing.access = Access::kRead;
  thrown("ERR_CUDA_IPC_INVALID_ARGUMENT", [&] { open_slab(nothing); });
  int ends[2];
  CHECK(::pipe2(ends, O_CLOEXEC) == 0);
  const Fd writer(ends[1]);
  nothing.fd = Fd(ends[0]);
  thrown("ERR_CUDA_IPC_INVALID_FD", [&] { open_slab(nothing); });
  nothing.uuid = "GPU-00000000-0000-0000-0000-000000000000";
  thrown("ERR_CUDA_IPC_DEVICE_NOT_VISIBLE", [&] { open_slab(nothing); });
  CHECK(holds(0, 0));
  CHECK(free_bytes() == before);
}

// Every driver call on the way fails once; each time nothing stays behind, and the next try works.
void rollback() {
  const size_t before = free_bytes();
  for (const char* call : {"cuMemCreate", "cuMemAddressReserve", "cuMemMap", "cuMemSetAccess",
                           "cuMemExportToShareableHandle", "cuMemGetAllocationGranularity"}) {
    host::set_faults(std::string(call) + ":1=1");
    try {
      Slab::create(new_id(), 0, 1, Sharing::kVmm);
      CHECK(!"the fault");
    } catch (const Error& error) {
      CHECK(error.call == call);
    }
    CHECK(free_bytes() == before);
    Slab::create(new_id(), 0, 1, Sharing::kVmm);
  }
  for (const char* call : {"cuMemAlloc", "cuIpcGetMemHandle"}) {
    const SlabId id = new_id();
    host::set_faults(std::string(call) + ":1=1");
    try {
      Slab::create(id, 0, 1, Sharing::kIpc);
      CHECK(!"the fault");
    } catch (const Error& error) {
      CHECK(error.call == call);
    }
    CHECK(free_bytes() == before);
    Slab::create(id, 0, 1, Sharing::kIpc);
  }
  host::set_faults("");
  const SlabId id = new_id();
  const auto slab = Slab::create(id, 0, 1, Sharing::kVmm);
  for (const char* call :
       {"cuMemImportFromShareableHandle", "cuMemAddressReserve", "cuMemMap", "cuMemSetAccess"}) {
    host::set_faults(std::string(call) + ":1=1");
    try {
      open(id, *slab, Access::kRead);
      CHECK(!"the fault");
    } catch (const Error& error) {
      CHECK(error.call == call);
    }
    CHECK(holds(0, 0));
    open(id, *slab, Access::kRead);
  }
  host::set_faults("");
}

void concurrent_opens() {
  const SlabId id = new_id();
  const auto slab = Slab::create(id, 0, 1, Sharing::kVmm);
  fill(slab->pointer(), slab->bytes(), 5);
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] {
      for (int round = 0; round < 25; ++round) {
        const auto reference = open(id, *slab, Access::kRead);
        CHECK(read_word(reference->pointer()) == 5);
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK(holds(0, 0));
}

}  // namespace

int main() {
  use_fresh_scope();
  ::setenv("CUDA_IPC_HOST_MEMORY", "64M", 1);
  choose_provider("host");
  vmm();
  ipc();
  refusals();
  rollback();
  concurrent_opens();
}
