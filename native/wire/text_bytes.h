// Bytes that a message writes as text.
#pragma once

#include <cstddef>
#include <string_view>

namespace cuda_ipc {

// False unless the text stands for exactly so many bytes.
bool bytes_of_hex(std::string_view text, char* bytes, size_t count);
bool bytes_of_base64(std::string_view text, char* bytes, size_t count);

}  // namespace cuda_ipc
