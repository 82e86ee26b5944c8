// CUDA and native fork(): refused with its own diagnosis where it cannot work, and only there.
#include <sys/wait.h>
#include <unistd.h>

#include <memory>

#include "check.h"
#include "driver/driver.h"
#include "fresh_scope.h"
#include "memory/device_memory.h"

using namespace cuda_ipc;

namespace {

template <class Body>
void in_child(Body body) {
  const pid_t child = ::fork();
  CHECK(child >= 0);
  if (child == 0) {
    body();
    std::_Exit(0);
  }
  int status = 0;
  CHECK(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

}  // namespace

int main() {
  use_fresh_scope();
  choose_provider("host");
  in_child([] {
    driver();
    ContextScope scope(0);
  });
  CHECK(!driver_is_up());

  auto memory = std::make_unique<DeviceMemory>(0, size_t{4} << 20);
  in_child([&] {
    const Error error = thrown("ERR_CUDA_IPC_FORKED", [] { driver(); });
    CHECK(contains(error.what(), "child_process.fork"));
    thrown("ERR_CUDA_IPC_FORKED", [] { ContextScope scope(0); });
    thrown("ERR_CUDA_IPC_FORKED", [] { device_uuid(0); });
    CHECK(!driver_is_up());
    CHECK(!context_is_up(0));
    memory.reset();  // leaves the parent's memory alone
    in_child([] { thrown("ERR_CUDA_IPC_FORKED", [] { driver(); }); });
  });

  ContextScope scope(0);
  unsigned value = 0;
  CUDA_IPC_CHECK(cuMemsetD32(memory->pointer(), 42, 1));
  CUDA_IPC_CHECK(cuMemcpyDtoH(&value, memory->pointer(), sizeof value));
  CHECK(value == 42);
}
