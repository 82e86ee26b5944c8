// The 64 bytes of an IPC handle: which descriptor of which process leads to the memory.
#pragma once

#include <cstdint>

#include "driver/host/fd.h"
#include "driver/host/system.h"

namespace cuda_ipc::host {

enum class IpcKind : uint32_t { kMemory = 0x314d4943, kEvent = 0x31454943 };

struct IpcHandle {
  IpcKind kind;
  int32_t pid;
  int32_t descriptor;
  int32_t device;  // its index on the machine
  uint64_t start_time;
  uint64_t inode;
  uint64_t scope;
  uint64_t id;  // the memory's; of an event, the exporter's PID namespace
  uint64_t bytes;
  uint64_t checksum;

  ProcessName process() const { return {pid, start_time}; }
};
static_assert(sizeof(IpcHandle) == 64, "the size that CUDA gives its handles");

enum class ExporterState {
  kThere,  // the exporter lives and still has what the handle names
  kFreed,  // it lives, but has let go of it
  kDead,
};

// Fills in the fields that name this process and the checksum, and writes all of it to `bytes`.
void write_ipc_handle(IpcHandle handle, char* bytes);
// False when the bytes are no handle of this kind and scope.
bool read_ipc_handle(const char* bytes, IpcKind kind, IpcHandle& handle);
bool is_own(const IpcHandle& handle);

// Whether open_exported would succeed, without opening anything.
ExporterState find_exported(const IpcHandle& handle);
// Opens what the handle names. `descriptor` stays empty, with errno, when the exporter has it and the system
// refused.
ExporterState open_exported(const IpcHandle& handle, Fd& descriptor);

}  // namespace cuda_ipc::host
