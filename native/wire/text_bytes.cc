#include "wire/text_bytes.h"

#include <cstdint>

namespace cuda_ipc {

namespace {

int value_in(std::string_view digits, char digit) {
  const size_t value = digits.find(digit);
  return value == std::string_view::npos ? -1 : static_cast<int>(value);
}

}  // namespace

bool bytes_of_hex(std::string_view text, char* bytes, size_t count) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  if (text.size() != 2 * count) return false;
  for (size_t i = 0; i < count; ++i) {
    const int high = value_in(kDigits, text[2 * i]);
    const int low = value_in(kDigits, text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    bytes[i] = static_cast<char>(high << 4 | low);
  }
  return true;
}

bool bytes_of_base64(std::string_view text, char* bytes, size_t count) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const size_t padding = (3 - count % 3) % 3;
  if (text.size() != (count + padding) / 3 * 4) return false;
  if (text.substr(text.size() - padding) != std::string_view("==").substr(0, padding)) return false;
  uint32_t bits = 0;
  int held = 0;
  size_t written = 0;
  for (const char c : text.substr(0, text.size() - padding)) {
    const int value = value_in(kDigits, c);
    if (value < 0) return false;
    bits = bits << 6 | static_cast<uint32_t>(value);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes[written++] = static_cast<char>(bits >> held);
  }
  return true;
}

}  // namespace cuda_ipc
