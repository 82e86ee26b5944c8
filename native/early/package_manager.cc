#include "early/package_manager.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstring>

namespace cuda_ipc::early {

namespace {

constexpr const char* kNames[] = {"npm", "npx", "pnpm", "pnpx", "yarn", "yarnpkg", "corepack"};

bool names_one(const char* script) {
  const char* slash = std::strrchr(script, '/');
  const char* name = slash == nullptr ? script : slash + 1;
  size_t length = std::strcspn(name, ".");  // yarn.js
  if (length > 4 && std::memcmp(name + length - 4, "-cli", 4) == 0) length -= 4;
  for (const char* known : kNames)
    if (std::strlen(known) == length && std::memcmp(known, name, length) == 0) return true;
  return false;
}

}  // namespace

bool is_package_manager() {
  // The arguments of main() are not known yet in every C library.
  char line[4096];
  const int file = ::open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  const ssize_t length = ::read(file, line, sizeof line - 1);
  ::close(file);
  if (length <= 0) return false;
  line[length] = '\0';
  const size_t program = std::strlen(line) + 1;
  return program < static_cast<size_t>(length) && names_one(line + program);
}

}  // namespace cuda_ipc::early
