#include "driver/driver.h"

#include <pthread.h>

#include <cstdlib>
#include <new>

#include "driver/diagnosis.h"
#include "driver/host/host.h"
#include "driver/libcuda/libcuda.h"
#include "driver/state.h"

namespace cuda_ipc {

namespace {

enum class Stage { kDown, kComingUp, kUp };

// Never destroyed: pool threads may use it while the process exits.
struct Process {
  std::mutex choice;   // guards all of the choice; held for moments only
  std::mutex loading;  // held for the whole of a load
  std::optional<Provider> chosen;
  std::optional<Provider> pinned;  // while there are pins
  size_t pins = 0;
  std::optional<Provider> in_use;  // of the state that is up or coming up
  std::atomic<Stage> stage{Stage::kDown};
  std::atomic<bool> forked{false};
  std::atomic<const DriverState*> state{nullptr};
};

Process& process() {
  static Process* const instance = new Process;
  return *instance;
}

// CUDA does not survive fork(): the child has none of the driver's threads, and using its mappings corrupts
// the parent's. A child of a parent that never touched CUDA may bring it up itself.
void after_fork_in_child() {
  Process& p = process();
  if (p.stage.load() != Stage::kDown) p.forked.store(true);
  p.state.store(nullptr);
  // Another thread of the parent may have held them.
  new (&p.choice) std::mutex;
  new (&p.loading) std::mutex;
}

void throw_if_forked() {
  if (!process().forked.load(std::memory_order_relaxed)) return;
  throw Error(
      "ERR_CUDA_IPC_FORKED",
      "This process was forked from one in which CUDA was up already, and CUDA cannot be used after a "
      "native fork(). Start workers as programs of their own (child_process.fork, cluster and spawn do "
      "that), or fork before the first use of CUDA.");
}

Provider parse_provider(const std::string& name) {
  if (name == "libcuda") return Provider::kLibcuda;
  if (name == "host") return Provider::kHost;
  throw Error(
      "ERR_CUDA_IPC_INVALID_ARGUMENT",
      "Expected \"libcuda\" (a GPU and NVIDIA's driver) or \"host\" (the built-in driver on host memory) "
      "for the driver, as an option or in CUDA_IPC_DRIVER, but received \"" +
          name + "\".");
}

Provider provider_from_environment() {
  const char* name = std::getenv("CUDA_IPC_DRIVER");
  return name == nullptr || *name == '\0' ? Provider::kLibcuda : parse_provider(name);
}

// With `choice` held.
Provider current_choice(const Process& p) {
  if (p.in_use) return *p.in_use;
  if (p.pinned) return *p.pinned;
  return p.chosen ? *p.chosen : provider_from_environment();
}

// With `choice` held.
void throw_if_other(const Process& p, Provider wanted) {
  const std::optional<Provider>& used = p.in_use ? p.in_use : p.pinned;
  if (!used || *used == wanted) return;
  throw Error(
      "ERR_CUDA_IPC_DRIVER_IN_USE",
      std::string("The driver \"") + provider_name(wanted) + "\" cannot be chosen: this process uses \"" +
          provider_name(*used) +
          "\" already. A process has one driver: choose it before its first use of CUDA and its first "
          "owner, or use another process.");
}

std::string format_uuid(const cu::CUuuid& uuid) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text = "GPU-";
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    const auto byte = static_cast<unsigned char>(uuid.bytes[i]);
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace

cu::CUresult read_uuid(const cu::Table& table, cu::CUdevice device, std::string& uuid) {
  cu::CUuuid bytes;
  const cu::CUresult result = table.cuDeviceGetUuid(&bytes, device);
  if (result == cu::CUDA_SUCCESS) uuid = format_uuid(bytes);
  return result;
}

namespace {

// Nothing but the calls that work before a context exists. A device that is lost keeps its ordinal here.
std::unique_ptr<DriverState> bring_up(Provider provider) {
  auto state = std::make_unique<DriverState>();
  state->provider = provider;
  state->table = provider == Provider::kHost ? &host::table() : &libcuda::table();
  const cu::Table& table = *state->table;
  const auto check = [&table](cu::CUresult result, const char* call) {
    if (result != cu::CUDA_SUCCESS) throw diagnose(&table, result, call);
  };
  const cu::CUresult started = table.cuInit(0);
  if (provider == Provider::kHost && started == cu::CUDA_ERROR_NO_DEVICE)
    throw Error(
        "ERR_CUDA_IPC_NO_DEVICE",
        "The host driver has no device for this process: CUDA_IPC_HOST_DEVICES is 0, or CUDA_VISIBLE_DEVICES "
        "names none of them. Unset both: then there are 2.");
  check(started, "cuInit");
  check(table.cuDeviceGetCount(&state->device_count), "cuDeviceGetCount");
  if (state->device_count == 0) throw diagnose(&table, cu::CUDA_ERROR_NO_DEVICE, "cuDeviceGetCount");
  state->devices = std::make_unique<DeviceSlot[]>(state->device_count);
  for (int ordinal = 0; ordinal < state->device_count; ++ordinal) {
    DeviceSlot& slot = state->devices[ordinal];
    check(table.cuDeviceGet(&slot.device, ordinal), "cuDeviceGet");
    read_uuid(table, slot.device, slot.uuid);
  }
  return state;
}

const DriverState& load() {
  Process& p = process();
  throw_if_forked();
  std::lock_guard<std::mutex> lock(p.loading);
  if (const DriverState* state = p.state.load(std::memory_order_acquire)) return *state;
  static const bool watching_forks = ::pthread_atfork(nullptr, nullptr, after_fork_in_child) == 0;
  if (!watching_forks) throw Error("ERR_CUDA_IPC_SYSTEM", "pthread_atfork failed: out of memory.");
  {
    std::lock_guard<std::mutex> choice(p.choice);
    p.in_use = current_choice(p);
  }
  p.stage.store(Stage::kComingUp);
  try {
    const DriverState* state = bring_up(*p.in_use).release();
    // Exit handlers run newest first, and the driver has just installed its own: this one comes before it.
    std::atexit(note_process_exiting);
    p.state.store(state, std::memory_order_release);
    p.stage.store(Stage::kUp);
    return *state;
  } catch (...) {
    p.stage.store(Stage::kDown);
    std::lock_guard<std::mutex> choice(p.choice);
    p.in_use.reset();
    throw;
  }
}

}  // namespace

void choose_provider(const std::string& name) {
  const Provider wanted = name.empty() ? provider_from_environment() : parse_provider(name);
  Process& p = process();
  std::lock_guard<std::mutex> lock(p.choice);
  throw_if_other(p, wanted);
  p.chosen = wanted;
}

ProviderPin::ProviderPin(const std::string& name) : named_(!name.empty()) {
  std::optional<Provider> wanted;
  if (named_) wanted = parse_provider(name);
  Process& p = process();
  std::lock_guard<std::mutex> lock(p.choice);
  if (!wanted) wanted = current_choice(p);
  throw_if_other(p, *wanted);
  p.pinned = wanted;
  ++p.pins;
}

ProviderPin::~ProviderPin() {
  Process& p = process();
  std::lock_guard<std::mutex> lock(p.choice);
  if (--p.pins == 0) p.pinned.reset();
}

void ProviderPin::keep() {
  if (!named_) return;
  Process& p = process();
  std::lock_guard<std::mutex> lock(p.choice);
  p.chosen = p.pinned;
}

Provider chosen_provider() {
  Process& p = process();
  std::lock_guard<std::mutex> lock(p.choice);
  return current_choice(p);
}

const char* provider_name(Provider provider) {
  return provider == Provider::kHost ? "host" : "libcuda";
}

bool driver_is_up() {
  return driver_state_if_up() != nullptr;
}

const cu::Table& driver() {
  return *driver_state().table;
}

const DriverState& driver_state() {
  const DriverState* state = driver_state_if_up();
  return state != nullptr ? *state : load();
}

const DriverState* driver_state_if_up() noexcept {
  return process().state.load(std::memory_order_acquire);
}

}  // namespace cuda_ipc
