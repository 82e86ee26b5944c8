#include "wire/frame_scan.h"

#include <algorithm>

namespace cuda_ipc {

std::vector<std::string_view> FrameScan::push(const uint8_t* bytes, size_t size) {
  const bool aligned = header_bytes_ == 0;
  std::vector<std::string_view> frames;
  while (size != 0) {
    const bool begins_here = header_bytes_ == 0 && size >= sizeof header_;
    if (!complete_header(bytes, size)) break;
    const size_t taken = static_cast<size_t>(std::min<uint64_t>(missing_, size));
    missing_ -= taken;
    if (missing_ == 0) {
      if (begins_here) frames.emplace_back(reinterpret_cast<const char*>(bytes), taken);
      header_bytes_ = 0;
    }
    bytes += taken;
    size -= taken;
  }
  if (!aligned) frames.clear();
  return frames;
}

bool FrameScan::complete_header(const uint8_t*& bytes, size_t& size) {
  if (header_bytes_ == sizeof header_) return true;
  const size_t taken = std::min(sizeof header_ - header_bytes_, size);
  std::copy_n(bytes, taken, header_ + header_bytes_);
  header_bytes_ += taken;
  bytes += taken;
  size -= taken;
  if (header_bytes_ < sizeof header_) return false;
  missing_ = header_[0] | header_[1] << 8 | header_[2] << 16 | static_cast<uint64_t>(header_[3]) << 24;
  return true;
}

}  // namespace cuda_ipc
