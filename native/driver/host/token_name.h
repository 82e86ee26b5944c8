// How a token's name is written: scope, device, bytes, the memory's id, and a number that makes it unique. At
// most 107 bytes fit.
#pragma once

#include <cinttypes>

namespace cuda_ipc::host {

constexpr char kTokenPrefix[] = "cuda-ipc-host/";
constexpr char kTokenFormat[] = "cuda-ipc-host/%016" PRIx64 "/%d/%" PRIu64 "/%016" PRIx64 "/%016" PRIx64;

}  // namespace cuda_ipc::host
