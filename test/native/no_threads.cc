// Preloaded into a process: while the file that CUDA_IPC_TEST_NO_THREADS names is there, no thread starts.
#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*routine)(void*),
                              void* argument) {
  static const auto real = reinterpret_cast<decltype(&pthread_create)>(::dlsym(RTLD_NEXT, "pthread_create"));
  const char* const file = std::getenv("CUDA_IPC_TEST_NO_THREADS");
  if (file != nullptr && ::access(file, F_OK) == 0) return EAGAIN;
  return real(thread, attributes, routine, argument);
}
