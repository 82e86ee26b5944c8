#include "wire/grant.h"

#include <cstring>

#include "wire/json_reader.h"
#include "wire/text_bytes.h"

namespace cuda_ipc {

namespace {

constexpr std::string_view kDeclares = "{\"fds\":";
constexpr std::string_view kAttached = "\"attached\"";
constexpr std::string_view kAhead = "\"ahead\"";

std::optional<cu::CUipcMemHandle> handle_of(std::string_view text) {
  cu::CUipcMemHandle handle;
  if (!bytes_of_base64(text, handle.reserved, sizeof handle.reserved)) return std::nullopt;
  return handle;
}

bool read_handle(JsonReader& json, std::optional<cu::CUipcMemHandle>& handle) {
  handle.reset();
  if (json.null()) return true;
  const std::optional<std::string_view> text = json.text();
  if (text) handle = handle_of(*text);
  return handle.has_value();
}

std::optional<GrantedSlab> read_slab(JsonReader& json) {
  GrantedSlab slab{};
  bool has_id = false;
  const bool read = json.object([&](std::string_view key) {
    if (key == "bytes") {
      const std::optional<uint64_t> bytes = json.integer();
      slab.bytes = bytes.value_or(0);
      return bytes.has_value();
    }
    if (key == "handle") return read_handle(json, slab.handle);
    if (key != "id" && key != "device") return json.skip();
    const std::optional<std::string_view> text = json.text();
    if (!text) return false;
    if (key == "device") slab.uuid = *text;
    if (key == "id") has_id = bytes_of_hex(*text, slab.id.data(), slab.id.size());
    return true;
  });
  if (!read || !has_id || slab.uuid.empty() || slab.bytes == 0) return std::nullopt;
  return slab;
}

bool read_slabs(JsonReader& json, std::vector<GrantedSlab>& slabs) {
  slabs.clear();
  return json.array([&] {
    std::optional<GrantedSlab> slab = read_slab(json);
    if (slab) slabs.push_back(std::move(*slab));
    return slab.has_value();
  });
}

}  // namespace

std::optional<size_t> declared_descriptors(std::string_view frame) {
  if (frame.substr(0, kDeclares.size()) != kDeclares) return std::nullopt;
  return JsonReader(frame.substr(kDeclares.size())).integer();
}

std::optional<Grant> read_grant(std::string_view frame) {
  // Nothing else is read further than that.
  const std::string_view beginning = frame.substr(0, 64);
  if (beginning.find(kAttached) == std::string_view::npos && beginning.find(kAhead) == std::string_view::npos)
    return std::nullopt;
  Grant grant{};
  std::string_view type;
  JsonReader json(frame);
  const bool read = json.object([&](std::string_view key) {
    if (key == "slabs") return read_slabs(json, grant.slabs);
    if (key != "type" && key != "lease") return json.skip();
    const std::optional<std::string_view> text = json.text();
    if (!text) return false;
    if (key == "type") type = *text;
    if (key == "lease") grant.lease = *text;
    return true;
  });
  grant.ahead = type == "ahead";
  if (!read || (!grant.ahead && type != "attached") || grant.lease.empty() != grant.ahead)
    return std::nullopt;
  return grant;
}

}  // namespace cuda_ipc
