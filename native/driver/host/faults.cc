#include "driver/host/faults.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "driver/host/host.h"

namespace cuda_ipc::host {
namespace {

constexpr const char* kNames[] = {
#define CU_FUNCTION(name, version, parameters) #name,
#include "driver/functions.def"
#undef CU_FUNCTION
};
constexpr size_t kFunctions = sizeof(kNames) / sizeof(kNames[0]);

enum class Kind { kResult, kHang, kSlow, kKill };

struct Fault {
  size_t function;
  unsigned long first, last;
  Kind kind;
  long value;
};

struct Plan {
  std::vector<Fault> faults;
  std::array<std::atomic<unsigned long>, kFunctions> calls{};
};

std::atomic<Plan*> current_plan{nullptr};

// Plans are kept for good: a call on another thread may still be reading one that has been replaced.
Plan* keep(std::unique_ptr<Plan> plan) {
  static std::mutex mutex;
  static auto* plans = new std::vector<std::unique_ptr<Plan>>;
  const std::lock_guard<std::mutex> lock(mutex);
  plans->push_back(std::move(plan));
  return plans->back().get();
}

[[noreturn]] void refuse(const std::string& entry, const char* why) {
  throw std::invalid_argument(
      "fault \"" + entry + "\": " + why +
      " (expected FUNCTION:N=RESULT, with N, N-, N-M or *, and a number, hang, slow=MS or kill)");
}

unsigned long read_number(const std::string& entry, const std::string& text) {
  if (text.empty() || text.size() > 9 || text.find_first_not_of("0123456789") != std::string::npos)
    refuse(entry, "not a number");
  return std::stoul(text);
}

size_t find_function(const std::string& entry, const std::string& name) {
  for (size_t i = 0; i < kFunctions; i++)
    if (name == kNames[i]) return i;
  refuse(entry, "no such function");
}

void read_calls(const std::string& entry, const std::string& text, Fault& fault) {
  fault.first = 1;
  fault.last = static_cast<unsigned long>(-1);
  if (text == "*") return;
  const size_t dash = text.find('-');
  fault.first = read_number(entry, text.substr(0, dash));
  if (dash == std::string::npos)
    fault.last = fault.first;
  else if (dash + 1 < text.size())
    fault.last = read_number(entry, text.substr(dash + 1));
  if (fault.first == 0 || fault.last < fault.first) refuse(entry, "calls are counted from 1");
}

void read_kind(const std::string& entry, const std::string& text, Fault& fault) {
  fault.value = 0;
  if (text == "hang") {
    fault.kind = Kind::kHang;
  } else if (text == "kill") {
    fault.kind = Kind::kKill;
  } else if (text.rfind("slow=", 0) == 0) {
    fault.kind = Kind::kSlow;
    fault.value = static_cast<long>(read_number(entry, text.substr(5)));
  } else {
    fault.kind = Kind::kResult;
    fault.value = static_cast<long>(read_number(entry, text));
  }
}

Fault read_fault(const std::string& entry) {
  const size_t colon = entry.find(':');
  const size_t equals = entry.find('=', colon == std::string::npos ? 0 : colon);
  if (colon == std::string::npos || equals == std::string::npos) refuse(entry, "not understood");
  Fault fault{};
  fault.function = find_function(entry, entry.substr(0, colon));
  read_calls(entry, entry.substr(colon + 1, equals - colon - 1), fault);
  read_kind(entry, entry.substr(equals + 1), fault);
  return fault;
}

const Fault* find_fault(Plan& plan, size_t function) {
  const unsigned long call = ++plan.calls[function];
  for (const Fault& fault : plan.faults)
    if (fault.function == function && fault.first <= call && call <= fault.last) return &fault;
  return nullptr;
}

}  // namespace

void set_faults(const std::string& text) {
  auto plan = std::make_unique<Plan>();
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find(',', start), text.size());
    if (end > start) plan->faults.push_back(read_fault(text.substr(start, end - start)));
    start = end + 1;
  }
  current_plan = plan->faults.empty() ? nullptr : keep(std::move(plan));
}

bool read_faults_from_environment() {
  const char* text = std::getenv("CUDA_IPC_HOST_FAULTS");
  if (text == nullptr) return true;
  try {
    set_faults(text);
    return true;
  } catch (const std::invalid_argument& problem) {
    std::fprintf(stderr, "CUDA_IPC_HOST_FAULTS: %s\n", problem.what());
    return false;
  }
}

cu::CUresult meet_fault(size_t function) {
  Plan* plan = current_plan;
  if (plan == nullptr) return cu::CUDA_SUCCESS;
  const Fault* fault = find_fault(*plan, function);
  if (fault == nullptr) return cu::CUDA_SUCCESS;
  switch (fault->kind) {
    case Kind::kResult:
      return static_cast<cu::CUresult>(fault->value);
    case Kind::kHang:
      for (;;) pause();
    case Kind::kSlow:
      std::this_thread::sleep_for(std::chrono::milliseconds(fault->value));
      return cu::CUDA_SUCCESS;
    case Kind::kKill:
      std::raise(SIGKILL);
  }
  return cu::CUDA_SUCCESS;
}

}  // namespace cuda_ipc::host
