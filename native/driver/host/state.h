// Everything the host driver knows in this process. Made once and never destroyed: other threads may be
// inside the driver while the process exits.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "driver/host/config.h"
#include "driver/host/context.h"
#include "driver/host/functions.h"
#include "driver/host/host_register.h"
#include "driver/host/memory_table.h"
#include "driver/host/registry.h"

namespace cuda_ipc::host {

struct Event;
struct Function;
struct Module;
struct VmmHandle;

struct State {
  std::atomic<bool> initialized{false};
  std::atomic<bool> forked{false};  // this is a child that did not exec: nothing here works any more

  // Fixed by cuInit.
  Config config;
  std::vector<std::unique_ptr<Context>> contexts;  // by ordinal

  MemoryTable memory;
  RegisteredRanges registered;
  Registry<Stream> streams;
  Registry<Event> events;
  Registry<Module> modules;
  Registry<Function> functions;
  Registry<VmmHandle> vmm_handles;

  bool has_device(int ordinal) const { return ordinal >= 0 && ordinal < static_cast<int>(contexts.size()); }
  // Of the device with that index on the machine; -1 when it is not visible.
  int ordinal_of(int index) const;
};

State& state();

}  // namespace cuda_ipc::host
