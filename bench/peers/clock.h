// CLOCK_MONOTONIC in nanoseconds: the clock of Node's process.hrtime, so times of all processes compare.
#pragma once

#include <time.h>

#include <cstdint>

namespace peers {

inline int64_t now() {
  timespec time;
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1'000'000'000ll + time.tv_nsec;
}

inline double milliseconds(int64_t from, int64_t to) {
  return static_cast<double>(to - from) / 1e6;
}

}  // namespace peers
