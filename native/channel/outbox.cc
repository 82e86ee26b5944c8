#include "channel/outbox.h"

#include <algorithm>
#include <iterator>

#include "channel/message.h"

namespace cuda_ipc {

namespace {

struct Part {
  size_t bytes;
  size_t fds;
};

// The next message of a buffer: one byte while more descriptors are left than it can carry.
Part next_part(size_t size, size_t fd_count) {
  if (fd_count <= kMostFdsPerMessage) return {size, fd_count};
  return {1, kMostFdsPerMessage};
}

}  // namespace

size_t Outbox::messages_for(size_t fd_count) {
  return std::max<size_t>(1, (fd_count + kMostFdsPerMessage - 1) / kMostFdsPerMessage);
}

Outbox::State Outbox::send(int socket, const uint8_t* bytes, size_t size, const int* fds, size_t fd_count) {
  State state = chunks_.empty() ? State::kEmpty : State::kBlocked;
  bool begun = false;
  while (state == State::kEmpty && size != 0) {
    const Part part = next_part(size, fd_count);
    const ssize_t sent = send_message(socket, bytes, part.bytes, fds, part.fds);
    if (sent < 0) {
      state = state_of(errno);
      continue;
    }
    begun = true;
    bytes += sent;
    size -= static_cast<size_t>(sent);
    fds += part.fds;
    fd_count -= part.fds;
  }
  if (size == 0 || state == State::kFailed) return state;
  try {
    keep(bytes, size, fds, fd_count);
  } catch (const Error& error) {
    // Half of the buffer has gone already: the stream cannot be mended.
    if (!begun) throw;
    error_number_ = error.system_errno;
    return State::kFailed;
  }
  return state;
}

Outbox::State Outbox::flush(int socket) {
  while (!chunks_.empty()) {
    Chunk& chunk = chunks_.front();
    std::vector<int> fds;
    fds.reserve(chunk.fds.size());
    for (const Fd& fd : chunk.fds) fds.push_back(fd.get());
    const ssize_t sent = send_message(socket, chunk.bytes.data() + chunk.sent,
                                      chunk.bytes.size() - chunk.sent, fds.data(), fds.size());
    if (sent < 0) return state_of(errno);
    chunk.fds.clear();
    chunk.sent += static_cast<size_t>(sent);
    bytes_ -= static_cast<size_t>(sent);
    if (chunk.sent == chunk.bytes.size()) chunks_.pop_front();
  }
  return State::kEmpty;
}

void Outbox::clear() {
  chunks_.clear();
  bytes_ = 0;
}

void Outbox::keep(const uint8_t* bytes, size_t size, const int* fds, size_t fd_count) {
  std::vector<Chunk> chunks;  // apart until complete: all of it is kept, or nothing
  const size_t total = size;
  while (size != 0) {
    const Part part = next_part(size, fd_count);
    Chunk chunk;
    chunk.bytes.assign(bytes, bytes + part.bytes);
    chunk.fds.reserve(part.fds);
    std::transform(fds, fds + part.fds, std::back_inserter(chunk.fds), Fd::duplicate_of);
    chunks.push_back(std::move(chunk));
    bytes += part.bytes;
    size -= part.bytes;
    fds += part.fds;
    fd_count -= part.fds;
  }
  std::move(chunks.begin(), chunks.end(), std::back_inserter(chunks_));
  bytes_ += total;
}

Outbox::State Outbox::state_of(int error_number) {
  if (error_number == EAGAIN || error_number == EWOULDBLOCK) return State::kBlocked;
  // ETOOMANYREFS: more descriptors in flight, of this user, than its limit of open files.
  if (error_number == ETOOMANYREFS || error_number == ENOBUFS || error_number == ENOMEM) return State::kBusy;
  error_number_ = error_number;
  return State::kFailed;
}

}  // namespace cuda_ipc
