#include "addon/unwrap.h"

#include "addon/event.h"
#include "addon/stream.h"

namespace cuda_ipc {

std::optional<StreamRef> unwrap_stream(Napi::Value value) {
  NativeStream* stream = NativeStream::from(value);
  if (stream == nullptr) return std::nullopt;
  const auto& owner = stream->resource();
  return StreamRef{owner, owner->get(), owner->device()};
}

std::optional<StreamRef> stream_argument(Napi::Value value, const char* name, int device) {
  if (is_absent(value)) return std::nullopt;
  auto stream = unwrap_stream(value);
  if (!stream || stream->device != device)
    invalid_argument(name, "a stream of device " + std::to_string(device), value);
  return stream;
}

std::optional<AfterWork> unwrap_after(Napi::Value value) {
  if (NativeStream* stream = NativeStream::from(value))
    return AfterWork{[owner = stream->resource()] { owner->synchronize(); }};
  if (NativeEvent* event = NativeEvent::from(value))
    return AfterWork{[owner = event->resource()] { owner->synchronize(); }};
  return std::nullopt;
}

}  // namespace cuda_ipc
