#include "wire/json_reader.h"

namespace cuda_ipc {

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

}  // namespace

std::optional<std::string_view> JsonReader::text() {
  if (!token('"')) return std::nullopt;
  const size_t end = rest_.find_first_of("\"\\");
  if (end == std::string_view::npos || rest_[end] != '"') return std::nullopt;
  const std::string_view text = rest_.substr(0, end);
  rest_.remove_prefix(end + 1);
  return text;
}

std::optional<uint64_t> JsonReader::integer() {
  skip_space();
  constexpr size_t kMostDigits = 18;  // no overflow
  uint64_t value = 0;
  size_t digits = 0;
  while (digits < rest_.size() && is_digit(rest_[digits])) {
    if (digits == kMostDigits) return std::nullopt;
    value = 10 * value + static_cast<uint64_t>(rest_[digits++] - '0');
  }
  const char next = digits < rest_.size() ? rest_[digits] : ' ';
  if (digits == 0 || next == '.' || next == 'e' || next == 'E') return std::nullopt;
  rest_.remove_prefix(digits);
  return value;
}

std::optional<bool> JsonReader::boolean() {
  if (word("true")) return true;
  if (word("false")) return false;
  return std::nullopt;
}

bool JsonReader::null() {
  return word("null");
}

bool JsonReader::skip() {
  skip_space();
  for (size_t depth = 0; !rest_.empty();) {
    const char c = rest_.front();
    if (c == '"') {
      if (!skip_text()) return false;
    } else if (c == '{' || c == '[') {
      ++depth;
      rest_.remove_prefix(1);
      continue;
    } else if (c == '}' || c == ']') {
      if (depth == 0) return false;
      --depth;
      rest_.remove_prefix(1);
    } else if (depth != 0) {
      rest_.remove_prefix(1);
      continue;
    } else {  // a number, true, false or null
      const size_t end = rest_.find_first_of(",]} \t\r\n");
      if (end == 0) return false;
      rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end);
    }
    if (depth == 0) return true;
  }
  return false;
}

bool JsonReader::skip_text() {
  rest_.remove_prefix(1);
  for (;;) {
    const size_t end = rest_.find_first_of("\"\\");
    if (end == std::string_view::npos) return false;
    const bool escape = rest_[end] == '\\';
    const size_t taken = end + (escape ? 2 : 1);
    if (taken > rest_.size()) return false;
    rest_.remove_prefix(taken);
    if (!escape) return true;
  }
}

bool JsonReader::token(char expected) {
  skip_space();
  if (rest_.empty() || rest_.front() != expected) return false;
  rest_.remove_prefix(1);
  return true;
}

bool JsonReader::word(std::string_view expected) {
  skip_space();
  if (rest_.substr(0, expected.size()) != expected) return false;
  rest_.remove_prefix(expected.size());
  return true;
}

void JsonReader::skip_space() {
  const size_t end = rest_.find_first_not_of(" \t\r\n");
  rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end);
}

}  // namespace cuda_ipc
