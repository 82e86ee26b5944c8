// A token stands for memory in use: an AF_UNIX socket bound to an abstract name that says how many bytes of
// which device. While any descriptor of it lives anywhere, also unread in a socket's queue, the kernel lists
// it in /proc/net/unix; with the last one, whoever held it and however that ended, it is gone. So the kernel
// does the accounting, and no crash can leave it wrong.
#pragma once

#include <cstdint>
#include <string>

#include "driver/host/fd.h"
#include "driver/types.h"

namespace cuda_ipc::host {

// What a token stands for. Several tokens may stand for the same memory, and it is counted once.
struct MemoryName {
  uint64_t scope;
  int device;  // its index on the machine
  uint64_t bytes;
  uint64_t id;  // random
};

// A datagram socket bound to a name of its own for this memory, and connected to itself, so that nobody else
// can send to it.
cu::CUresult create_token(const MemoryName& memory, Fd& token);

// Puts the memory's own descriptor into the token's queue, where it stays: from then on the token alone
// carries the memory to other processes, and keeps it alive.
cu::CUresult load_token(const Fd& token, const MemoryName& memory, const Fd& descriptor);

// Whether `fd` is a token with memory in it, of this scope; if so duplicates the memory's descriptor, without
// taking it out of the queue. CUDA_ERROR_UNKNOWN for anything else, as from the real driver.
cu::CUresult read_token(int fd, uint64_t scope, MemoryName& memory, Fd& descriptor);

// Bytes in use on a device, from the kernel's list.
cu::CUresult count_bytes(uint64_t scope, int device, uint64_t& bytes);

// Tokens that stand for this memory.
cu::CUresult count_tokens(const MemoryName& memory, unsigned& tokens);

}  // namespace cuda_ipc::host
