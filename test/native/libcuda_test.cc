// Loading NVIDIA's driver, and what is said when that fails. In one process: a failed load can be tried
// again.
#include <cstdlib>

#include "check.h"
#include "driver/driver.h"

using namespace cuda_ipc;

namespace {

void no_driver_library() {
  ::setenv("CUDA_IPC_LIBCUDA", "/nonexistent/libcuda.so.1", 1);
  const Error error = thrown("ERR_CUDA_IPC_NO_DRIVER", [] { driver(); });
  CHECK(contains(error.what(), "/nonexistent/libcuda.so.1"));
  CHECK(contains(error.what(), "CUDA_IPC_DRIVER=host"));
  CHECK(!driver_is_up());
  CHECK(!context_is_up(0));
}

void library_without_the_resolver() {
  ::setenv("CUDA_IPC_LIBCUDA", "libm.so.6", 1);
  const Error error = thrown("ERR_CUDA_IPC_DRIVER_TOO_OLD", [] { driver(); });
  CHECK(contains(error.what(), "cuGetProcAddress_v2"));
  CHECK(contains(error.what(), "R525"));
}

void missing_function() {
  ::setenv("CUDA_IPC_LIBCUDA", FAKE_LIBCUDA, 1);
  ::setenv("FAKE_MISSING", "cuMemCreate", 1);
  const Error error = thrown("ERR_CUDA_IPC_DRIVER_TOO_OLD", [] { driver(); });
  CHECK(contains(error.what(), "cuMemCreate as of CUDA 10.2"));
  CHECK(contains(error.what(), "installed one is for CUDA 11.8"));
  ::unsetenv("FAKE_MISSING");
}

void stub_library() {
  ::setenv("FAKE_cuGetProcAddress", "34", 1);
  const Error error = thrown("ERR_CUDA_IPC_NO_DRIVER", [] { driver(); });
  CHECK(contains(error.what(), "stub"));
  ::unsetenv("FAKE_cuGetProcAddress");
}

void failing_init() {
  const auto init_fails = [](const char* number, const char* code) {
    ::setenv("FAKE_cuInit", number, 1);
    const Error error = thrown(code, [] { driver(); });
    CHECK(error.cuda_result == std::atoi(number));
    CHECK(error.cuda_name == "CUDA_ERROR_FAKE");
    CHECK(error.call == "cuInit");
    CHECK(contains(error.what(), "text of the driver"));
    CHECK(!driver_is_up());
  };
  init_fails("100", "ERR_CUDA_IPC_NO_DEVICE");
  init_fails("802", "ERR_CUDA_IPC_NOT_READY");
  init_fails("803", "ERR_CUDA_IPC_DRIVER_MISMATCH");
  init_fails("804", "ERR_CUDA_IPC_DRIVER_MISMATCH");
  init_fails("805", "ERR_CUDA_IPC_MPS");
  init_fails("999", "ERR_CUDA_IPC_CUDA");
  ::unsetenv("FAKE_cuInit");
}

void up_at_last() {
  CHECK(chosen_provider() == Provider::kLibcuda);
  driver();
  CHECK(driver_is_up());
  CHECK(device_uuid(0) == "GPU-f0f1f2f3-f4f5-f6f7-f8f9-fafbfcfdfeff");
  CHECK(find_device("GPU-f0f1f2f3-f4f5-f6f7-f8f9-fafbfcfdfeff") == 0);
  CHECK(!find_device("GPU-00000000-0000-0000-0000-000000000000"));
  thrown("ERR_CUDA_IPC_DRIVER_IN_USE", [] { choose_provider("host"); });
  thrown("ERR_CUDA_IPC_INVALID_ARGUMENT", [] { choose_provider("cuda"); });
  choose_provider("libcuda");
}

void contexts() {
  const auto retain_fails = [](const char* result, const char* mode, const char* code) {
    ::setenv("FAKE_cuDevicePrimaryCtxRetain", result, 1);
    ::setenv("FAKE_COMPUTE_MODE", mode, 1);
    return thrown(code, [] { ContextScope scope(0); });
  };
  CHECK(contains(retain_fails("46", "3", "ERR_CUDA_IPC_COMPUTE_MODE").what(), "exclusive process"));
  CHECK(contains(retain_fails("46", "2", "ERR_CUDA_IPC_COMPUTE_MODE").what(), "prohibited"));
  retain_fails("46", "0", "ERR_CUDA_IPC_DEVICE_UNAVAILABLE");
  retain_fails("2", "0", "ERR_CUDA_IPC_OUT_OF_MEMORY");
  CHECK(!context_is_up(0));
  ::unsetenv("FAKE_cuDevicePrimaryCtxRetain");
  { ContextScope scope(0); }
  CHECK(context_is_up(0));
  CHECK(contains(thrown("ERR_CUDA_IPC_INVALID_DEVICE", [] { ContextScope scope(1); }).what(), "no device 1"));
  thrown("ERR_CUDA_IPC_INVALID_DEVICE", [] { ContextScope scope(-1); });
}

}  // namespace

int main() {
  ::unsetenv("CUDA_IPC_DRIVER");
  no_driver_library();
  library_without_the_resolver();
  missing_function();
  stub_library();
  failing_init();
  up_at_last();
  contexts();
}
