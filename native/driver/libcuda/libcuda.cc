#include "driver/libcuda/libcuda.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "driver/error.h"

namespace cuda_ipc::libcuda {

namespace {

using cu::CUresult;

// cuGetProcAddress as of CUDA 12.0 (exported as cuGetProcAddress_v2), the only function taken by dlsym.
using GetProcAddress = CUresult (*)(const char* symbol, void** function, int cuda_version,
                                    unsigned long long flags, int* status);
constexpr unsigned long long kLegacyStream = 1;  // CU_GET_PROC_ADDRESS_LEGACY_STREAM
constexpr int kFound = 0;                        // CU_GET_PROC_ADDRESS_SUCCESS

constexpr const char* kUpdate =
    "cuda-ipc needs NVIDIA driver R525 (CUDA 12.0) or later: update the driver, or choose the built-in "
    "host driver with CUDA_IPC_DRIVER=host.";

struct Unload {
  void operator()(void* library) const { ::dlclose(library); }
};
using Library = std::unique_ptr<void, Unload>;

const char* library_name() {
  const char* name = std::getenv("CUDA_IPC_LIBCUDA");
  return name != nullptr && *name != '\0' ? name : "libcuda.so.1";
}

bool on_wsl() {
  return ::access("/dev/dxg", F_OK) == 0;
}

[[noreturn]] void throw_no_driver(const std::string& reason) {
  std::string message = "The NVIDIA driver could not be loaded: " + reason + ". ";
  if (on_wsl()) {
    message +=
        "Under WSL2 libcuda.so.1 lies in /usr/lib/wsl/lib and comes with the NVIDIA driver for Windows: "
        "install that driver, install none inside WSL, and see that the directory is on the loader's path. ";
  } else {
    message +=
        "libcuda.so.1 comes with the NVIDIA driver, not with the CUDA toolkit: install the driver; in a "
        "container, start it through the NVIDIA container toolkit (docker run --gpus all). ";
  }
  throw Error("ERR_CUDA_IPC_NO_DRIVER",
              message + "To run without a GPU, choose the built-in host driver with CUDA_IPC_DRIVER=host.");
}

Library open_library() {
  Library library(::dlopen(library_name(), RTLD_NOW | RTLD_LOCAL));
  if (!library) {
    const char* reason = ::dlerror();
    throw_no_driver(reason != nullptr ? reason : library_name());
  }
  return library;
}

class Resolver {
 public:
  explicit Resolver(void* library)
      : get_(reinterpret_cast<GetProcAddress>(::dlsym(library, "cuGetProcAddress_v2"))) {
    if (get_ == nullptr)
      throw Error("ERR_CUDA_IPC_DRIVER_TOO_OLD",
                  std::string("The NVIDIA driver is too old: it has no cuGetProcAddress_v2. ") + kUpdate);
  }

  template <class Function>
  void operator()(Function& function, const char* name, int cuda_version) const {
    void* address = nullptr;
    int status = kFound;
    const CUresult result = get_(name, &address, cuda_version, kLegacyStream, &status);
    if (result == cu::CUDA_ERROR_STUB_LIBRARY)
      throw_no_driver(std::string(library_name()) +
                      " is the CUDA toolkit's stub, made for linking only; take it off LD_LIBRARY_PATH");
    if (result != cu::CUDA_SUCCESS || status != kFound || address == nullptr)
      throw_missing(name, cuda_version);
    function = reinterpret_cast<Function>(address);
  }

 private:
  [[noreturn]] void throw_missing(const char* name, int cuda_version) const {
    std::string message = "The NVIDIA driver is too old: it has no " + std::string(name) + " as of CUDA " +
                          version_text(cuda_version);
    void* address = nullptr;
    int version = 0;
    int status = kFound;
    if (get_("cuDriverGetVersion", &address, 2020, kLegacyStream, &status) == cu::CUDA_SUCCESS &&
        address != nullptr &&
        reinterpret_cast<decltype(cu::Table::cuDriverGetVersion)>(address)(&version) == cu::CUDA_SUCCESS)
      message += "; the installed one is for CUDA " + version_text(version);
    throw Error("ERR_CUDA_IPC_DRIVER_TOO_OLD", message + ". " + kUpdate);
  }

  static std::string version_text(int version) {
    return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
  }

  GetProcAddress get_;
};

cu::Table resolve_all(void* library) {
  const Resolver resolve(library);
  cu::Table table;
#define CU_FUNCTION(name, version, parameters) resolve(table.name, #name, version);
#include "driver/functions.def"
#undef CU_FUNCTION
  return table;
}

}  // namespace

const cu::Table& table() {
  static const cu::Table* loaded = nullptr;
  if (loaded == nullptr) {
    Library library = open_library();
    loaded = new cu::Table(resolve_all(library.get()));
    library.release();  // loaded for good: its threads and exit handlers outlive every caller
  }
  return *loaded;
}

}  // namespace cuda_ipc::libcuda
