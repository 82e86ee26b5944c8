// Processes end well whatever the host driver is doing in them: streams at work, streams that wait for
// another process, and children that forked without exec.
#include <vector>

#include "host_gate.h"
#include "host_test.h"

namespace {

std::vector<int>* scratch = nullptr;

// Work must have stopped by the time that handlers registered before cuInit run.
void exit_at_work(Line&) {
  std::atexit([] { delete scratch; });
  scratch = new std::vector<int>(1000);
  bring_up();
  for (int i = 0; i < 4; i++) {
    CUstream stream = nullptr;
    OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    for (int j = 0; j < 20000; j++)
      submit(stream, [i, j] {
        (*scratch)[static_cast<size_t>(i)] += j;
        return CUDA_SUCCESS;
      });
  }
}

void exit_while_waiting(Line& line) {
  bring_up();
  CUevent event = nullptr;
  CUstream stream = nullptr;
  CUdeviceptr pointer = 0;
  OK(cuIpcOpenEventHandle(&event, line.receive<CUipcEventHandle>()));
  OK(cuStreamCreate(&stream, CU_STREAM_DEFAULT));
  OK(cuMemAlloc(&pointer, 1));
  OK(cuStreamWaitEvent(nullptr, event, 0));
  OK(cuMemsetD8Async(pointer, 1, 1, stream));
  EXPECT(CUDA_ERROR_NOT_READY, cuStreamQuery(stream));
}

void fork_without_exec(Line&) {
  bring_up();
  const pid_t child = fork();
  CUdeviceptr pointer = 0;
  if (child == 0) {
    EXPECT(CUDA_ERROR_NOT_INITIALIZED, cuMemAlloc(&pointer, 1));
    EXPECT(CUDA_ERROR_NOT_INITIALIZED, cuInit(0));
    std::_Exit(0);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  OK(cuMemAlloc(&pointer, 1));
}

void call_while_exiting(Line&) {
  std::atexit([] { EXPECT(CUDA_ERROR_DEINITIALIZED, cuCtxSynchronize()); });
  bring_up();
}

}  // namespace

int main(int argc, char** argv) {
  const std::pair<std::string, void (*)(Line&)> roles[] = {{"at work", exit_at_work},
                                                           {"waiting", exit_while_waiting},
                                                           {"forking", fork_without_exec},
                                                           {"late", call_while_exiting}};
  if (argc > 1) {
    Line line(kChildLine);
    for (const auto& [name, run] : roles)
      if (name == argv[1]) run(line);
    return 0;
  }
  use_fresh_scope();
  bring_up();
  for (const char* role : {"at work", "forking", "late"}) Child(role).succeed();

  CUevent event = nullptr;
  CUipcEventHandle handle;
  OK(cuEventCreate(&event, CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING));
  OK(cuIpcGetEventHandle(&handle, event));
  Gate gate(nullptr);
  OK(cuEventRecord(event, nullptr));
  Child waiting("waiting");
  waiting.line.send(handle);
  waiting.succeed();
  gate.open();
  OK(cuCtxSynchronize());
  CHECK(used_bytes() == 0);
}
