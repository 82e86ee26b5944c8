// What a client's `attach` asks for (docs/protocol.md), for what goes out before JavaScript has read it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace cuda_ipc {

struct AttachRequest {
  std::string set;
  std::optional<std::string> version;   // nothing: the current one
  std::optional<std::string> checksum;  // nothing: any content
  std::string lease;
  bool ahead = false;  // whether it takes memory before its answer
};

// The message that a client opens a connection with.
struct Hello {
  bool first_version = false;  // whether it speaks version 1 of the protocol
  std::string provider;        // of its driver; empty where it does not say
};

// Nothing when it is another message, or is not as expected.
std::optional<Hello> read_hello(std::string_view frame);

// Nothing when it is another message, or is not as expected: what is wrong with it is for JavaScript to say,
// which reads it next. Text with escapes is not as expected.
std::optional<AttachRequest> read_attach_request(std::string_view frame);

}  // namespace cuda_ipc
