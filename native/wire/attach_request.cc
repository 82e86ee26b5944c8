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

bool read_versions(JsonReader& json, bool& first) {
  first = false;
  return json.array([&] {
    const std::optional<uint64_t> version = json.integer();
    first = first || version == 1u;
    return version.has_value();
  });
}

bool read_provider(JsonReader& json, std::string& provider) {
  provider.clear();
  return json.object(
      [&](std::string_view key) { return key == "provider" ? read_text(json, provider) : json.skip(); });
}

}  // namespace

std::optional<Hello> read_hello(std::string_view frame) {
  if (!begins_with_type(frame, "\"hello\"")) return std::nullopt;
  Hello hello;
  std::string type;
  JsonReader json(frame);
  const bool read = json.object([&](std::string_view key) {
    if (key == "type") return read_text(json, type);
    if (key == "protocol") return read_versions(json, hello.first_version);
    if (key == "driver") return read_provider(json, hello.provider);
    return json.skip();
  });
  if (!read || type != "hello") return std::nullopt;
  return hello;
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
