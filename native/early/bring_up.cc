#include "early/bring_up.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <ctime>

#include "driver/types.h"

namespace cuda_ipc::early {

namespace {

/** How long the end of the process waits for the driver to return. */
constexpr time_t kPatienceSeconds = 10;

// Nothing that is destroyed: the thread may be at work while the process exits.
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t stopped;
bool at_work = false;
bool exiting = false;
pid_t process = 0;

// Under a process that exits the driver takes down what it is bringing up here. Exit handlers run newest
// first: one that is registered behind the driver's runs before it.
void wait_for_thread() {
  if (::getpid() != process) return;  // a fork() took the memory along and not the thread
  timespec until;
  ::clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += kPatienceSeconds;
  ::pthread_mutex_lock(&mutex);
  exiting = true;
  while (at_work)
    if (::pthread_cond_timedwait(&stopped, &mutex, &until) == ETIMEDOUT) break;
  ::pthread_mutex_unlock(&mutex);
}

/** To be called behind each call in which the driver may have registered handlers of its own. */
bool goes_on() {
  std::atexit(wait_for_thread);
  ::pthread_mutex_lock(&mutex);
  const bool on = !exiting;
  ::pthread_mutex_unlock(&mutex);
  return on;
}

template <class Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

void bring_up(const Request& request) {
  cu::CUresult (*init)(unsigned) = nullptr;
  cu::CUresult (*get_device)(cu::CUdevice*, int) = nullptr;
  cu::CUresult (*retain)(cu::CUcontext*, cu::CUdevice) = nullptr;
  void* const library = ::dlopen(request.library, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr || !goes_on()) return;
  if (!find(library, "cuInit", init) || !find(library, "cuDeviceGet", get_device) ||
      !find(library, "cuDevicePrimaryCtxRetain", retain))
    return;
  if (init(0) != cu::CUDA_SUCCESS || !goes_on()) return;
  cu::CUdevice device;
  cu::CUcontext context;
  if (get_device(&device, request.device) != cu::CUDA_SUCCESS || !goes_on()) return;
  if (retain(&context, device) == cu::CUDA_SUCCESS) goes_on();
}

void* thread_main(void* request) {
  bring_up(*static_cast<const Request*>(request));
  ::pthread_mutex_lock(&mutex);
  at_work = false;
  ::pthread_cond_broadcast(&stopped);
  ::pthread_mutex_unlock(&mutex);
  return nullptr;
}

/** Node takes what is open at 0, 1 and 2 for its standard streams: none of the driver's files may come there.
 */
void fill_standard_streams() {
  for (int fd = 0; fd <= 2; ++fd)
    if (::fcntl(fd, F_GETFD) == -1 && errno == EBADF && ::open("/dev/null", O_RDWR) != fd) return;
}

// Where the thread has registered no handler yet, or did so before main(), when the loader's own had not been
// registered: that runs this, and takes a library that was preloaded down before any that was loaded later.
__attribute__((destructor)) void on_unload() {
  wait_for_thread();
}

}  // namespace

void bring_up_beside(const Request& request) {
  pthread_condattr_t monotonic;
  if (::pthread_condattr_init(&monotonic) != 0) return;
  ::pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  ::pthread_cond_init(&stopped, &monotonic);
  ::pthread_condattr_destroy(&monotonic);
  fill_standard_streams();
  process = ::getpid();
  at_work = true;
  // Signals are the program's business, and its threads'.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  const bool started = ::pthread_create(&thread, nullptr, thread_main, const_cast<Request*>(&request)) == 0;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (started)
    ::pthread_detach(thread);
  else
    at_work = false;
}

}  // namespace cuda_ipc::early
