// The dtypes of the safetensors format, as lib/formats/dtypes.ts has them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace cuda_ipc {

// Nothing for what is no dtype of the format.
std::optional<uint32_t> bits_per_element(std::string_view dtype);

}  // namespace cuda_ipc
