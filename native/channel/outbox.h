// What a socket still has to send, in order.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "memory/fd.h"

namespace cuda_ipc {

class Outbox {
 public:
  enum class State {
    kEmpty,    // the kernel has taken everything
    kBlocked,  // wait until the socket is writable
    kBusy,     // a limit of the kernel, such as descriptors in flight: try again a little later
    kFailed,   // see error_number(); nothing can be sent any more
  };

  // Sends what the kernel takes at once and keeps a copy of the rest, with duplicates of its descriptors.
  // More than 253 descriptors are spread over messages of one byte, the last with the remaining bytes: `size`
  // must be at least messages_for(fd_count). Throws Error (ERR_CUDA_IPC_FD_LIMIT) when the descriptors cannot
  // be duplicated and nothing has been sent.
  State send(int socket, const uint8_t* bytes, size_t size, const int* fds, size_t fd_count);
  State flush(int socket);
  void clear();

  bool empty() const { return chunks_.empty(); }
  size_t bytes() const { return bytes_; }
  int error_number() const { return error_number_; }

  static size_t messages_for(size_t fd_count);

 private:
  struct Chunk {
    std::vector<uint8_t> bytes;
    size_t sent = 0;
    std::vector<Fd> fds;  // beside the first byte; empty once that has gone
  };
  void keep(const uint8_t* bytes, size_t size, const int* fds, size_t fd_count);
  State state_of(int error_number);

  std::deque<Chunk> chunks_;
  size_t bytes_ = 0;
  int error_number_ = 0;
};

}  // namespace cuda_ipc
