#include "early/request.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "early/package_manager.h"

namespace cuda_ipc::early {

namespace {

constexpr const char* kDevice = "CUDA_IPC_EARLY_START";
constexpr const char* kProgram = "CUDA_IPC_EARLY_START_FOR";
constexpr const char* kPreload = "LD_PRELOAD";
/** Between the paths in it. */
constexpr const char* kSeparators = ": ";

bool is_this_program(const char* file) {
  char own[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", own, sizeof own);
  return length > 0 && std::strlen(file) == static_cast<size_t>(length) &&
         std::memcmp(file, own, length) == 0;
}

bool parse_ordinal(const char* text, int& ordinal) {
  if (*text == '\0' || std::strlen(text) > 9 || std::strspn(text, "0123456789") != std::strlen(text))
    return false;
  ordinal = std::atoi(text);
  return true;
}

bool driver_is_libcuda() {
  const char* name = std::getenv("CUDA_IPC_DRIVER");
  return name == nullptr || *name == '\0' || std::strcmp(name, "libcuda") == 0;
}

/** The same library that the addon will load. */
bool name_library(char (&library)[PATH_MAX]) {
  const char* name = std::getenv("CUDA_IPC_LIBCUDA");
  if (name == nullptr || *name == '\0') name = "libcuda.so.1";
  if (std::strlen(name) >= sizeof library) return false;
  std::strcpy(library, name);
  return true;
}

/** Whatever else is preloaded stays. */
void leave_preload() {
  Dl_info own;
  const char* list = std::getenv(kPreload);
  if (list == nullptr || ::dladdr(reinterpret_cast<void*>(&take_request), &own) == 0) return;
  const size_t own_length = std::strlen(own.dli_fname);
  char* const rest = static_cast<char*>(std::malloc(std::strlen(list) + 1));
  if (rest == nullptr) return;
  size_t filled = 0;
  while (*(list += std::strspn(list, kSeparators)) != '\0') {
    const size_t length = std::strcspn(list, kSeparators);
    if (length != own_length || std::memcmp(list, own.dli_fname, length) != 0) {
      if (filled > 0) rest[filled++] = ':';
      std::memcpy(rest + filled, list, length);
      filled += length;
    }
    list += length;
  }
  rest[filled] = '\0';
  if (filled > 0)
    ::setenv(kPreload, rest, 1);
  else
    ::unsetenv(kPreload);
  std::free(rest);
}

}  // namespace

bool take_request(Request& request) {
  const char* device = std::getenv(kDevice);
  const char* program = std::getenv(kProgram);
  if (device == nullptr || program == nullptr || !is_this_program(program) || is_package_manager())
    return false;
  const bool wanted =
      parse_ordinal(device, request.device) && driver_is_libcuda() && name_library(request.library);
  leave_preload();
  ::unsetenv(kDevice);
  ::unsetenv(kProgram);
  return wanted;
}

}  // namespace cuda_ipc::early
