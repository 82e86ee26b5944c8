#include "wire/attach_request.h"

#include "wire/json_reader.h"

namespace cuda_ipc {

namespace {

// Where the type stands in what this library's clients write: no other message is read further, nor one that
// is longer than an attach can be with the longest of names.
constexpr size_t kTypeWithin = 64;
constexpr size_t kMostBytes = 4096;

bool begins_with_type(std::string_view frame, std::string_view type) {
  return frame.substr(0, kTypeWithin).find(type) != std::string_view::npos;
}

bool read_text(JsonReader& json, std::string& value) {
  const std::optional<std::string_view> text = json.text();
  if (text) value = *text;
  return text.has_value();
}

bool read_text_or_null(JsonReader& json, std::optional<std::string>& value) {
  value.reset();
  return json.null() || read_text(json, value.emplace());
}

bool read_boolean(JsonReader& json, bool& value) {
  const std::optional<bool> read = json.boolean();
  value = read.value_or(false);
  return read.has_value();
}

}  // namespace

bool is_hello(std::string_view frame) {
  if (!begins_with_type(frame, "\"hello\"")) return false;
  std::string type;
  JsonReader json(frame);
  const bool read =
      json.object([&](std::string_view key) { return key == "type" ? read_text(json, type) : json.skip(); });
  return read && type == "hello";
}

std::optional<AttachRequest> read_attach_request(std::string_view frame) {
  if (frame.size() > kMostBytes || !begins_with_type(frame, "\"attach\"")) return std::nullopt;
  AttachRequest request;
  std::string type;
  JsonReader json(frame);
  const bool read = json.object([&](std::string_view key) {
    if (key == "type") return read_text(json, type);
    if (key == "set") return read_text(json, request.set);
    if (key == "version") return read_text_or_null(json, request.version);
    if (key == "checksum") return read_text_or_null(json, request.checksum);
    if (key == "lease") return read_text(json, request.lease);
    if (key == "ahead") return read_boolean(json, request.ahead);
    return json.skip();
  });
  if (!read || type != "attach" || request.set.empty() || request.lease.empty()) return std::nullopt;
  return request;
}

}  // namespace cuda_ipc
