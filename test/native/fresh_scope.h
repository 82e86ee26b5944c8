// A "machine" of this run's own on the host driver: what other processes of this user hold on theirs is not
// in its way.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <string>

// Before the driver is asked for anything.
inline void use_fresh_scope() {
  ::setenv("CUDA_IPC_HOST_SCOPE", ("test " + std::to_string(::getpid())).c_str(), 1);
  ::unsetenv("CUDA_VISIBLE_DEVICES");
}
