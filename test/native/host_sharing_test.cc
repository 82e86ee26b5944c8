// Memory of the host driver shared between real processes, both ways, through the deaths of either side.
#include <algorithm>

#include "host_test.h"

namespace {

constexpr unsigned kLazy = CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS;
constexpr auto kFdType = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;

// --- roles ---

// Opens what it is sent, reports the first byte, waits, and reports it again.
void open_memory(Line& line) {
  bring_up();
  const auto handle = line.receive<CUipcMemHandle>();
  CUdeviceptr pointer = 0, again = 0, base = 0;
  size_t bytes = 0;
  OK(cuIpcOpenMemHandle(&pointer, handle, kLazy));
  OK(cuIpcOpenMemHandle(&again, handle, kLazy | 6));
  CHECK(pointer == again);
  OK(cuMemGetAddressRange(&base, &bytes, pointer + 100));
  CHECK(base == pointer && bytes == 8 * kMiB);
  CUipcMemHandle unwanted;
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemFree(pointer));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuIpcGetMemHandle(&unwanted, pointer));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuIpcOpenMemHandle(&again, handle, 0));
  CUipcMemHandle garbage{};
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuIpcOpenMemHandle(&again, garbage, kLazy));
  OK(cuIpcCloseMemHandle(pointer));
  CHECK(used_bytes() == 8 * kMiB);
  OK(cuMemsetD8(pointer + 1, 77, 1));
  line.send(read_back(pointer, 1)[0]);
  line.receive<char>();
  line.send(read_back(pointer, 1)[0]);
  line.receive<char>();
  CHECK(used_bytes() == 8 * kMiB);
  OK(cuIpcCloseMemHandle(pointer));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuIpcCloseMemHandle(pointer));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuIpcCloseMemHandle(0));
  line.send(used_bytes());
}

void try_to_open(Line& line) {
  bring_up();
  CUdeviceptr pointer = 0;
  const CUresult result = host::table().cuIpcOpenMemHandle(&pointer, line.receive<CUipcMemHandle>(), kLazy);
  line.send(result);
  line.send(used_bytes());
}

void own_memory(Line& line) {
  bring_up();
  CUdeviceptr pointer = 0;
  CUipcMemHandle handle;
  OK(cuMemAlloc(&pointer, 8 * kMiB));
  OK(cuMemsetD8(pointer, 5, 8 * kMiB));
  OK(cuIpcGetMemHandle(&handle, pointer));
  line.send(handle);
  line.receive<char>();
}

void own_descriptor(Line& line) {
  bring_up();
  const CUmemAllocationProp wanted = properties();
  CUmemGenericAllocationHandle handle = 0;
  OK(cuMemCreate(&handle, 4 * kMiB, &wanted, 0));
  const CUdeviceptr pointer = map(handle, 4 * kMiB, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
  OK(cuMemsetD8(pointer, 6, 4 * kMiB));
  int fd = -1;
  OK(cuMemExportToShareableHandle(&fd, handle, kFdType, 0));
  line.send('f', fd);
  line.receive<char>();
}

void import_descriptor(Line& line) {
  bring_up();
  int fd = -1;
  line.receive<char>(&fd);
  CUmemGenericAllocationHandle handle = 0;
  OK(cuMemImportFromShareableHandle(&handle, as_os_handle(fd), kFdType));
  close(fd);
  const CUdeviceptr pointer = map(handle, 4 * kMiB, CU_MEM_ACCESS_FLAGS_PROT_READ);
  OK(cuMemRelease(handle));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemsetD8(pointer, 1, 1));
  CHECK(all_are(read_back(pointer, 4 * kMiB), 6));
  line.send('r');
  line.receive<char>();
  unmap(pointer, 4 * kMiB);
  line.send(used_bytes());
}

void take_what_is_left(Line& line) {
  bring_up();
  line.send('r');
  line.receive<char>();
  unsigned taken = 0;
  for (CUdeviceptr pointer = 0; host::table().cuMemAlloc(&pointer, kMiB) == CUDA_SUCCESS;) taken++;
  line.send(taken);
  line.receive<char>();
}

// --- tests ---

void shares_by_handle_and_poisons() {
  CUdeviceptr pointer = 0;
  CUipcMemHandle handle;
  OK(cuMemAlloc(&pointer, 8 * kMiB));
  OK(cuMemsetD8(pointer, 5, 8 * kMiB));
  OK(cuIpcGetMemHandle(&handle, pointer));
  Child child("open");
  child.line.send(handle);
  CHECK(child.line.receive<unsigned char>() == 5);
  CHECK(read_back(pointer, 2)[1] == 77);
  CHECK(used_bytes() == 8 * kMiB);
  OK(cuMemFree(pointer));
  CHECK(used_bytes() == 8 * kMiB);  // the child's
  child.line.send('g');
  CHECK(child.line.receive<unsigned char>() == 0xDB);

  Child late("try");
  late.line.send(handle);
  CHECK(late.line.receive<CUresult>() == CUDA_ERROR_INVALID_VALUE);
  CHECK(late.line.receive<size_t>() == 8 * kMiB);
  late.succeed();

  child.line.send('g');
  CHECK(child.line.receive<size_t>() == 0);
  child.succeed();
}

void survives_its_exporter() {
  Child owner("own");
  const auto handle = owner.line.receive<CUipcMemHandle>();
  CUdeviceptr pointer = 0;
  OK(cuIpcOpenMemHandle(&pointer, handle, kLazy));
  owner.kill();
  CHECK(all_are(read_back(pointer, 8 * kMiB), 5));
  CHECK(used_bytes() == 8 * kMiB);
  Child late("try");
  late.line.send(handle);
  CHECK(late.line.receive<CUresult>() == CUDA_ERROR_INVALID_HANDLE);
  late.succeed();
  OK(cuIpcCloseMemHandle(pointer));
  CHECK(used_bytes() == 0);
}

void loses_nothing_to_sigkill() {
  Child owner("own");
  const auto handle = owner.line.receive<CUipcMemHandle>();
  Child importer("open");
  importer.line.send(handle);
  CHECK(importer.line.receive<unsigned char>() == 5);
  CHECK(used_bytes() == 8 * kMiB);
  owner.kill();
  CHECK(used_bytes() == 8 * kMiB);
  importer.kill();
  CHECK(used_bytes() == 0);
}

void shares_by_descriptor() {
  Child owner("own-fd");
  int fd = -1;
  owner.line.receive<char>(&fd);
  owner.kill();
  CHECK(used_bytes() == 4 * kMiB);  // by the descriptor alone
  Child importers[] = {Child("import"), Child("import")};
  for (Child& importer : importers) importer.line.send('f', fd);
  close(fd);
  for (Child& importer : importers) importer.line.receive<char>();
  CHECK(used_bytes() == 4 * kMiB);
  importers[0].kill();
  CHECK(used_bytes() == 4 * kMiB);
  importers[1].line.send('g');
  CHECK(importers[1].line.receive<size_t>() == 0);
  importers[1].succeed();
}

void counts_descriptors_in_queues() {
  Child owner("own-fd");
  int fd = -1, ends[2];
  owner.line.receive<char>(&fd);
  owner.kill();
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  Line(ends[0]).send('f', fd);
  close(fd);
  close(ends[0]);
  CHECK(used_bytes() == 4 * kMiB);
  close(ends[1]);
  CHECK(used_bytes() == 0);
}

void gives_out_every_byte_once() {
  size_t total = 0;
  OK(cuDeviceTotalMem(&total, 0));
  std::vector<Child> children;
  for (int i = 0; i < 4; i++) children.emplace_back("take");
  for (Child& child : children) child.line.receive<char>();
  for (Child& child : children) child.line.send('g');
  size_t taken = 0;
  for (Child& child : children) taken += child.line.receive<unsigned>() * kMiB;
  CHECK(taken == total);
  CHECK(used_bytes() == total);
  CUdeviceptr pointer = 0;
  EXPECT(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc(&pointer, 1));
  for (Child& child : children) child.kill();
  CHECK(used_bytes() == 0);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) {
    Line line(kChildLine);
    const std::string role = argv[1];
    if (role == "open") open_memory(line);
    if (role == "try") try_to_open(line);
    if (role == "own") own_memory(line);
    if (role == "own-fd") own_descriptor(line);
    if (role == "import") import_descriptor(line);
    if (role == "take") take_what_is_left(line);
    return 0;
  }
  use_fresh_scope();
  setenv("CUDA_IPC_HOST_MEMORY", "256M", 1);
  bring_up();
  shares_by_handle_and_poisons();
  survives_its_exporter();
  loses_nothing_to_sigkill();
  shares_by_descriptor();
  counts_descriptors_in_queues();
  gives_out_every_byte_once();
}
