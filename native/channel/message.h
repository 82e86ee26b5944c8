// One sendmsg and one recvmsg: bytes with descriptors beside them (SCM_RIGHTS).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "memory/fd.h"

namespace cuda_ipc {

// SCM_MAX_FD of the kernel: what one message can carry.
constexpr size_t kMostFdsPerMessage = 253;

// Never blocks, raises no signal. Returns how many bytes the kernel took, or -1 and errno. The descriptors
// travel with the first byte: they have gone once a byte has, and not before.
ssize_t send_message(int socket, const uint8_t* bytes, size_t size, const int* fds, size_t fd_count);

// A socket that another process has made, and those that a listening one accepts, may be set to bring facts
// about the sender beside every message (PassCredentials= and the like of systemd's socket units): they would
// take the place of descriptors, and one of them is a descriptor itself. From here on it brings none.
void expect_descriptors_only(int socket);

struct Received {
  enum class Status {
    kData,
    kNothingYet,
    kEnd,        // end-of-file
    kTruncated,  // descriptors were lost: this process is at its limit. Those that arrived are closed.
    kFailed,     // see `error_number`
  };
  Status status;
  size_t size = 0;
  std::vector<Fd> fds;
  int error_number = 0;
};

// Never blocks. Descriptors are close-on-exec from the moment they exist here. Of a socket on which
// expect_descriptors_only() was called, or that this process has made itself.
Received receive_message(int socket, uint8_t* buffer, size_t capacity);

}  // namespace cuda_ipc
