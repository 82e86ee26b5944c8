// Finds the frames in what a channel receives (docs/protocol.md, "Frames"), without keeping any of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace cuda_ipc {

class FrameScan {
 public:
  // The frames of one chunk, if it begins with one: those that it holds as a whole, without their headers. To
  // be called with everything that arrives.
  std::vector<std::string_view> push(const uint8_t* bytes, size_t size);

 private:
  // Takes what a header still lacks.
  bool complete_header(const uint8_t*& bytes, size_t& size);

  uint8_t header_[4] = {};
  size_t header_bytes_ = 0;  // that have arrived, of the frame which the last chunk ended in
  uint64_t missing_ = 0;     // of its content
};

}  // namespace cuda_ipc
