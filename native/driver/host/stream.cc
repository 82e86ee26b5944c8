#include "driver/host/stream.h"

#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "driver/host/context.h"
#include "driver/host/exit_gate.h"

namespace cuda_ipc::host {

bool Ticket::done() const {
  return stream == nullptr || stream->done(number);
}

void Ticket::wait() const {
  if (stream != nullptr) stream->wait(number);
}

Ticket Stream::push(Work work) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!started_) start();
  queue_.push_back(std::move(work));
  arrived_.notify_one();
  return {shared_from_this(), ++pushed_};
}

Ticket Stream::tail() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return {shared_from_this(), pushed_};
}

bool Stream::done(uint64_t number) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return finished_count_ >= number;
}

void Stream::wait(uint64_t number) {
  std::unique_lock<std::mutex> lock(mutex_);
  finished_.wait(lock, [&] { return finished_count_ >= number || abandoned_; });
}

void Stream::close() {
  const std::lock_guard<std::mutex> lock(mutex_);
  closed_ = true;
  arrived_.notify_one();
}

bool Stream::closed() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return closed_;
}

// The process's signals are for its own threads: this one has them blocked from its first instruction.
void Stream::start() {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    std::thread([self = shared_from_this()] { self->serve(); }).detach();
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  started_ = true;
}

void Stream::serve() {
  pthread_setname_np(pthread_self(), "cuda-ipc-host");
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    arrived_.wait(lock, [&] { return closed_ || !queue_.empty(); });
    if (queue_.empty()) return;
    Work work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    const bool finished = carry_out(work);
    work = Work();
    lock.lock();
    if (!finished) break;
    finished_count_++;
    finished_.notify_all();
  }
  // The process is exiting. Nobody shall wait for this stream any more, and this thread does nothing more.
  abandoned_ = true;
  finished_.notify_all();
  lock.unlock();
  for (;;) pause();
}

bool Stream::carry_out(Work& work) {
  for (const Ticket& ticket : work.after) ticket.wait();
  if (work.wait) work.wait();
  const RunPermit permit;
  if (!permit) return false;
  if (work.run && context.status() == cu::CUDA_SUCCESS) {
    const cu::CUresult result = work.run();
    if (result != cu::CUDA_SUCCESS) context.fail(result);
  }
  if (work.always) work.always();
  return true;
}

}  // namespace cuda_ipc::host
