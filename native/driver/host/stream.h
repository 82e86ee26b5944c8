// A queue of work and the thread that does it, in order. The thread starts with the first piece of work.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "driver/types.h"

namespace cuda_ipc::host {

class Context;
class Stream;

// A place in a stream's queue: done when all work up to it is.
struct Ticket {
  std::shared_ptr<Stream> stream;
  uint64_t number = 0;

  bool done() const;
  void wait() const;  // returns early when the process exits
};

struct Work {
  std::vector<Ticket> after;          // earlier work on other streams that must be done first
  std::function<void()> wait;         // then waits for another process; touches no memory
  std::function<cu::CUresult()> run;  // then runs, unless the context has failed
  std::function<void()> always;       // then this in any case: marks events
};

class Stream : public std::enable_shared_from_this<Stream> {
 public:
  Stream(Context& context, bool blocking) : context(context), blocking(blocking) {}

  Context& context;
  const bool blocking;  // takes part in the legacy default stream's ordering

  // Only through Context::submit, which orders streams among each other.
  Ticket push(Work work);
  Ticket tail();
  bool done(uint64_t number);
  void wait(uint64_t number);
  // The thread ends when the queue is empty.
  void close();
  bool closed();

 private:
  void start();
  void serve();
  bool carry_out(Work& work);

  std::mutex mutex_;
  std::condition_variable arrived_, finished_;
  std::deque<Work> queue_;
  uint64_t pushed_ = 0, finished_count_ = 0;
  bool started_ = false, closed_ = false, abandoned_ = false;
};

}  // namespace cuda_ipc::host
