// What a socket has received and the event loop has not taken yet: bounded, which is backpressure.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "memory/fd.h"

namespace cuda_ipc {

class Inbox {
 public:
  // What one recvmsg returned.
  struct Data {
    std::vector<uint8_t> bytes;
    std::vector<Fd> fds;
  };

  void push(Data data);
  Data pop();
  void clear();

  bool empty() const { return queue_.empty(); }
  // Reading stops when it is, and goes on once half of it has been taken.
  bool full() const { return full_; }

 private:
  std::deque<Data> queue_;
  size_t charge_ = 0;
  bool full_ = false;
};

}  // namespace cuda_ipc
