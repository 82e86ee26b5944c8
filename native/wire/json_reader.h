// Reads JSON whose outline is known, in place: for the few messages that native code looks into before
// JavaScript reads, and checks, all of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace cuda_ipc {

// Every reader returns nothing, or false, when there is something else, and nothing more is to be read then.
// What is passed over is not checked, and text with escapes is not read.
class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : rest_(text) {}

  std::optional<std::string_view> text();
  std::optional<uint64_t> integer();
  std::optional<bool> boolean();
  bool null();
  // Passes over one value of any kind.
  bool skip();

  // Calls `member(key)` for each, which reads or skips the value and returns whether it could.
  template <class Member>
  bool object(Member member) {
    return sequence('{', '}', [&] {
      const std::optional<std::string_view> key = text();
      return key && token(':') && member(*key);
    });
  }

  // Calls `element()` for each, likewise.
  template <class Element>
  bool array(Element element) {
    return sequence('[', ']', element);
  }

 private:
  bool token(char expected);
  bool word(std::string_view expected);
  bool skip_text();
  void skip_space();

  template <class Item>
  bool sequence(char opening, char closing, Item item) {
    if (!token(opening)) return false;
    if (token(closing)) return true;
    do {
      if (!item()) return false;
    } while (token(','));
    return token(closing);
  }

  std::string_view rest_;
};

}  // namespace cuda_ipc
