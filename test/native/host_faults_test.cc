// Injected faults, and what the environment says about devices.
#include <stdexcept>

#include "driver/host/config.h"
#include "host_test.h"

namespace {

void injects_results() {
  CUdeviceptr pointer = 0;
  host::set_faults("cuMemAlloc:2=2,cuMemGetInfo:3-=999,cuMemFree:1-2=304");
  OK(cuMemAlloc(&pointer, 1));
  CUdeviceptr other = 0;
  EXPECT(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc(&other, 1));
  OK(cuMemAlloc(&other, 1));
  EXPECT(CUDA_ERROR_OPERATING_SYSTEM, cuMemFree(pointer));
  EXPECT(CUDA_ERROR_OPERATING_SYSTEM, cuMemFree(pointer));
  OK(cuMemFree(pointer));
  OK(cuMemFree(other));
  CHECK(used_bytes() == 0 && used_bytes() == 0);
  size_t bytes = 0;
  for (int i = 0; i < 3; i++) EXPECT(CUDA_ERROR_UNKNOWN, cuMemGetInfo(&bytes, &bytes));
  host::set_faults("cuCtxSynchronize:*=slow=1");
  OK(cuCtxSynchronize());
  host::set_faults("");
  CHECK(used_bytes() == 0);
}

void names_what_it_cannot_read() {
  for (const char* text : {"cuMemAlloc", "cuMemAlloc:1", "cuMemAllocate:1=2", "cuMemAlloc:0=2",
                           "cuMemAlloc:x=2", "cuMemAlloc:1=slow", "cuMemAlloc:1=2,,cuMemFree:2-1=1"}) {
    try {
      host::set_faults(text);
    } catch (const std::invalid_argument& problem) {
      CHECK(contains(problem.what(), "cuMem"));
      continue;
    }
    std::fprintf(stderr, "accepted %s\n", text);
    std::_Exit(1);
  }
}

void fails_contexts() {
  host::set_faults("cuMemcpyHtoD:1=700");
  CUdeviceptr pointer = 0;
  OK(cuMemAlloc(&pointer, 1));
  EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuMemcpyHtoD(pointer, "x", 1));
  EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuMemcpyHtoD(pointer, "x", 1));
  EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuMemFree(pointer));
}

void sees_devices() {
  std::vector<host::Device> all;
  setenv("CUDA_IPC_HOST_DEVICES", "4", 1);
  setenv("CUDA_IPC_HOST_MEMORY", "3M", 1);
  all = host::read_config().devices;
  CHECK(all.size() == 4 && all[3].memory == 3 * kMiB);
  const auto indices = [&](const std::string& text) {
    std::string found;
    for (const host::Device& device : host::visible_devices(all, text)) found += std::to_string(device.index);
    return found;
  };
  const std::string uuid = host::uuid_text(all[2].uuid);
  CHECK(uuid.size() == 40 && uuid != host::uuid_text(all[1].uuid));
  CHECK(indices("2,1") == "21" && indices("0,9,1") == "0" && indices("-1") == "" && indices("") == "");
  CHECK(indices("1, 3") == "13" && indices("1,x,2") == "1" && indices("0,0") == "");
  CHECK(indices(uuid) == "2" && indices(uuid.substr(0, 16)) == "2" && indices("GPU-") == "");
  setenv("CUDA_VISIBLE_DEVICES", uuid.c_str(), 1);
  CHECK(host::read_config().devices.size() == 1);
  CHECK(host::uuid_text(host::read_config().devices[0].uuid) == uuid);
  unsetenv("CUDA_VISIBLE_DEVICES");
  setenv("CUDA_IPC_HOST_MEMORY", "3X", 1);
  try {
    host::read_config();
    CHECK(false);
  } catch (const std::invalid_argument&) {
  }
  unsetenv("CUDA_IPC_HOST_MEMORY");
  unsetenv("CUDA_IPC_HOST_DEVICES");
}

void allocate(Line& line) {
  bring_up();
  CUdeviceptr pointer = 0;
  line.send('r');
  line.send(host::table().cuMemAlloc(&pointer, 1));
}

void takes_faults_from_the_environment() {
  setenv("CUDA_IPC_HOST_FAULTS", "cuMemAlloc:1=46", 1);
  Child unavailable("allocate");
  unavailable.line.receive<char>();
  CHECK(unavailable.line.receive<CUresult>() == CUDA_ERROR_DEVICE_UNAVAILABLE);
  unavailable.succeed();
  setenv("CUDA_IPC_HOST_FAULTS", "cuMemAlloc:1=kill", 1);
  Child killed("allocate");
  killed.line.receive<char>();
  CHECK(killed.line.ended());
  killed.end_with(SIGKILL);
  setenv("CUDA_IPC_HOST_FAULTS", "cuMemAlloc:1=hang", 1);
  Child hung("allocate");
  hung.line.receive<char>();
  hung.kill();
  unsetenv("CUDA_IPC_HOST_FAULTS");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) {
    Line line(kChildLine);
    allocate(line);
    return 0;
  }
  use_fresh_scope();
  sees_devices();
  bring_up();
  injects_results();
  names_what_it_cannot_read();
  takes_faults_from_the_environment();
  fails_contexts();
}
