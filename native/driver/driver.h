// Which provider this process uses, and the primary context of each device.
#pragma once

#include <optional>
#include <string>

#include "driver/error.h"
#include "driver/table.h"

namespace cuda_ipc {

enum class Provider { kLibcuda, kHost };

// Names the provider for this process, before first use. Empty: the environment variable CUDA_IPC_DRIVER
// ("libcuda" or "host"), else libcuda; never the host driver by itself. Throws Error
// (ERR_CUDA_IPC_INVALID_ARGUMENT for an unknown name, ERR_CUDA_IPC_DRIVER_IN_USE when another provider is
// already up, or pinned).
void choose_provider(const std::string& name);

// Counted: while one lives no other provider can be chosen, whether this one is up or not. An owner has one,
// for it serves one driver's memory and has others load it.
class ProviderPin {
 public:
  // Empty: what is chosen, or would be. Throws as choose_provider does.
  explicit ProviderPin(const std::string& name);
  ~ProviderPin();
  ProviderPin(const ProviderPin&) = delete;
  ProviderPin& operator=(const ProviderPin&) = delete;

  // What it names stays chosen when the pin is gone: without that the choice is what it was before.
  void keep();

 private:
  bool named_;
};

// The provider that is chosen, or would be, without loading it.
Provider chosen_provider();
const char* provider_name(Provider provider);

// True once driver() has succeeded in this process. Never loads anything.
bool driver_is_up();

// The function table, with cuInit done. Loads the provider on first use, under a lock: 0.1 to 0.2 s on a GPU,
// so never on the event loop. Throws Error: ERR_CUDA_IPC_NO_DRIVER, ERR_CUDA_IPC_DRIVER_TOO_OLD,
// ERR_CUDA_IPC_NO_DEVICE, ERR_CUDA_IPC_FORKED (CUDA came up before a native fork() and this is the child),
// ERR_CUDA_IPC_CUDA for the rest. A failure to load may be tried again.
const cu::Table& driver();

// Pushes the device's primary context for the life of the scope: retained once per process and device, and
// never released (the driver tears it down with the process). The first use of a device costs 0.1 to 0.3 s
// and 518 MiB of GPU memory on an H100.
class ContextScope {
 public:
  explicit ContextScope(int ordinal);  // throws Error: ERR_CUDA_IPC_INVALID_DEVICE, ERR_CUDA_IPC_CUDA, ...
  ~ContextScope();
  ContextScope(const ContextScope&) = delete;
  ContextScope& operator=(const ContextScope&) = delete;
};

// Called with each device whose context comes up from now on, on the thread that brings it up and before that
// goes on. Must not throw.
void on_context_up(void (*hook)(int ordinal));

// True once the device's primary context is retained by this process.
bool context_is_up(int ordinal);

// "GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" as nvidia-smi prints it (the same form for MIG instances'
// bytes).
std::string device_uuid(int ordinal);
// The ordinal in this process of the device with that UUID; nothing when it is not visible here.
std::optional<int> find_device(const std::string& uuid);

// Set once the process has begun to exit: from then on destructors leak instead of calling CUDA.
void note_process_exiting();
bool process_is_exiting();

}  // namespace cuda_ipc
