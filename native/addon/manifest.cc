// Manifest files, as JavaScript looks into them.
#include "wire/manifest.h"

#include <memory>

#include "addon/arguments.h"
#include "addon/exports.h"
#include "addon/fd.h"

namespace cuda_ipc {

namespace {

Napi::Value open_manifest(const Napi::CallbackInfo& info) {
  // Shared: what stands in the array may run JavaScript, which could close it.
  const std::shared_ptr<Fd> fd = share_fd(info[0]);
  if (!info[1].IsArray()) invalid_argument("slabs", "an array of byte counts", info[1]);
  const Napi::Array array = info[1].As<Napi::Array>();
  std::vector<uint64_t> slabs;
  for (uint32_t i = 0; i < array.Length(); ++i) slabs.push_back(bytes_argument(array.Get(i), "slabs"));
  const size_t bytes = manifest_file_bytes(*fd);
  Napi::ArrayBuffer content = Napi::ArrayBuffer::New(info.Env(), bytes);
  auto* const data = static_cast<uint8_t*>(content.Data());
  read_manifest_file(*fd, data, bytes);
  Manifest({static_cast<const char*>(content.Data()), bytes}).check(slabs);
  return content;
}

Napi::Value find_tensor(const Napi::CallbackInfo& info) {
  if (!info[0].IsArrayBuffer()) invalid_argument("manifest", "an ArrayBuffer", info[0]);
  Napi::ArrayBuffer content = info[0].As<Napi::ArrayBuffer>();
  const std::string name = string_argument(info[1], "name");
  const Manifest manifest({static_cast<const char*>(content.Data()), content.ByteLength()});
  const std::optional<uint32_t> index = manifest.find(name);
  return index ? Napi::Number::New(info.Env(), *index) : info.Env().Undefined();
}

}  // namespace

void export_manifest(Napi::Env env, Napi::Object exports) {
  exports["openManifest"] = Napi::Function::New<checked<open_manifest>>(env, "openManifest");
  exports["findTensor"] = Napi::Function::New<checked<find_tensor>>(env, "findTensor");
}

}  // namespace cuda_ipc
