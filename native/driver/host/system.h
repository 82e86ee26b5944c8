// Small facts about the system that several parts need.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "driver/types.h"

namespace cuda_ipc::host {

uint64_t random_number();
uint64_t hash(const void* data, size_t bytes, uint64_t seed = 0);
size_t round_up(size_t bytes, size_t unit);
size_t page_size();

// What CUDA would return when a system call failed with this errno: out of memory, or "the operating system
// refused" (descriptor limits among others).
cu::CUresult result_of_errno(int error_number);

// A process as something to be found again: the start time tells it from a later one with the same number.
struct ProcessName {
  int32_t pid = 0;
  uint64_t start_time = 0;
};

ProcessName this_process();
// False for a process that has begun to exit, too: its descriptors are gone. True where this process has no
// descriptor left to look with: whoever is taken for dead has no work left to wait for.
bool is_alive(const ProcessName& process);
// Which PID namespace this process is in; 0 when the system does not tell.
uint64_t pid_namespace();
// Whether a process of that PID namespace is dead, and not only out of sight.
bool is_proven_dead(const ProcessName& process, uint64_t its_pid_namespace);
std::string descriptor_path(const ProcessName& process, int fd);

}  // namespace cuda_ipc::host
