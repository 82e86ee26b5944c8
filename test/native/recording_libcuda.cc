// A driver library that writes every call to descriptor 3, one line each: its name, its argument, "<" when it
// begins, ">" when it returns. RECORDING_STOP names the one ("load" is its being loaded) that does not return
// before the process has begun to exit; it stops when something has come on descriptor 4.
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

constexpr int kRecord = 3;
constexpr int kMayStop = 4;

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
bool exiting = false;

void record(const char* what, long argument, const char* direction) {
  char line[128];
  const int length =
      std::snprintf(line, sizeof line, "%d %s %ld %s\n", ::getpid(), what, argument, direction);
  if (::write(kRecord, line, length) != length) std::abort();
}

void on_exit() {
  ::pthread_mutex_lock(&mutex);
  exiting = true;
  ::pthread_cond_broadcast(&changed);
  ::pthread_mutex_unlock(&mutex);
}

/** Of a driver that is at work when the process exits, and takes a moment to come to its end. */
void maybe_stop(const char* what) {
  const char* stop = std::getenv("RECORDING_STOP");
  if (stop == nullptr || std::strcmp(stop, what) != 0) return;
  // Before main() runs, handlers are registered under the loader's, and are of no use here.
  char go;
  if (::read(kMayStop, &go, 1) != 1) std::abort();
  std::atexit(on_exit);
  record("stopped", 0, "<");
  ::pthread_mutex_lock(&mutex);
  while (!exiting) ::pthread_cond_wait(&changed, &mutex);
  ::pthread_mutex_unlock(&mutex);
  const timespec moment{0, 100'000'000};
  ::nanosleep(&moment, nullptr);
}

int call(const char* name, long argument) {
  record(name, argument, "<");
  maybe_stop(name);
  record(name, argument, ">");
  return 0;
}

// As NVIDIA's: what is up is taken down by an exit handler of the driver's.
void take_down() {
  record("down", 0, "<");
}

__attribute__((constructor)) void on_load() {
  record("load", 0, "<");
  maybe_stop("load");
  std::atexit(take_down);
  record("load", 0, ">");
}

}  // namespace

extern "C" {

int cuInit(unsigned flags) {
  // The lowest descriptor that is free, and the signals that would be delivered to this thread.
  const int file = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  sigset_t blocked;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  record("descriptor", file, "<");
  record("blocked", ::sigismember(&blocked, SIGTERM) + ::sigismember(&blocked, SIGUSR1), "<");
  return call("cuInit", flags);
}

int cuDeviceGet(int* device, int ordinal) {
  *device = ordinal;
  return call("cuDeviceGet", ordinal);
}

int cuDevicePrimaryCtxRetain(void** context, int device) {
  *context = &mutex;
  return call("cuDevicePrimaryCtxRetain", device);
}
}
