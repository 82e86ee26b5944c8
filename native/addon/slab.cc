#include "addon/slab.h"

#include "addon/exports.h"
#include "addon/fd.h"
#include "addon/unwrap.h"
#include "memory/mapping_rehearsal.h"
#include "memory/open_slab.h"

namespace cuda_ipc {

namespace {

// Work that has failed is done too, and whoever launched it is told where it waits for it: here it must not
// keep the memory from being let go of.
void wait_for_device(int device) noexcept {
  if (!driver_is_up() || process_is_exiting()) return;
  try {
    ContextScope scope(device);
    driver().cuCtxSynchronize();
  } catch (const Error&) {
  }
}

void wait_for(const AfterWork& work) noexcept {
  try {
    work.wait();
  } catch (const Error&) {
  }
}

Napi::Value pointer_value(Napi::Env env, cu::CUdeviceptr pointer) {
  return Napi::BigInt::New(env, static_cast<uint64_t>(pointer));
}

Sharing sharing_argument(Napi::Value value) {
  const std::string name = string_argument(value, "sharing");
  if (name == "vmm") return Sharing::kVmm;
  if (name == "ipc") return Sharing::kIpc;
  invalid_argument("sharing", "\"vmm\" or \"ipc\"", value);
}

Napi::Value create_slab(const Napi::CallbackInfo& info) {
  const Napi::Object options = object_argument(info[0], "options");
  const SlabId id = struct_argument<SlabId>(options.Get("id"), "id");
  const int device = device_argument(options.Get("device"));
  const size_t bytes = bytes_argument(options.Get("bytes"), "bytes", 1);
  const Sharing sharing = sharing_argument(options.Get("sharing"));
  return run_async(
      info.Env(), [=] { return std::make_shared<HeldSlab>(Slab::create(id, device, bytes, sharing)); },
      [](Napi::Env env, std::shared_ptr<HeldSlab>& slab) -> Napi::Value {
        return NativeSlab::create(env, std::move(slab));
      });
}

Napi::Value open_slab(const Napi::CallbackInfo& info) {
  auto source = std::make_shared<SlabSource>(slab_source_argument(info[0]));
  return run_async(
      info.Env(),
      [source, afterwards = Environment::of(info.Env()).afterwards()] {
        const SlabSource mine = std::move(*source);  // the descriptor is closed on this thread
        OpenedSlab opened = cuda_ipc::open_slab(mine);
        return std::make_shared<HeldMapping>(opened.device, std::move(opened.reference), afterwards);
      },
      [](Napi::Env env, std::shared_ptr<HeldMapping>& mapping) -> Napi::Value {
        return NativeMapping::create(env, std::move(mapping));
      });
}

Napi::Value rehearse(const Napi::CallbackInfo& info) {
  rehearse_mappings();
  return info.Env().Undefined();
}

Napi::Value mapping_statistics(const Napi::CallbackInfo& info) {
  const MappingTable::Statistics statistics = mapping_table().statistics();
  Napi::Object object = Napi::Object::New(info.Env());
  object["mappings"] = static_cast<double>(statistics.entries);
  object["references"] = static_cast<double>(statistics.references);
  return object;
}

}  // namespace

Access access_argument(Napi::Value value) {
  const std::string name = string_argument(value, "access");
  if (name == "read") return Access::kRead;
  if (name == "readwrite") return Access::kReadWrite;
  invalid_argument("access", "\"read\" or \"readwrite\"", value);
}

SlabSource slab_source_argument(Napi::Value value) {
  const Napi::Object options = object_argument(value, "options");
  SlabSource source{};
  source.id = struct_argument<SlabId>(options.Get("id"), "id");
  source.uuid = string_argument(options.Get("uuid"), "uuid");
  source.bytes = bytes_argument(options.Get("bytes"), "bytes", 1);
  source.access = access_argument(options.Get("access"));
  if (!is_absent(options.Get("fd"))) source.fd = unwrap_fd(options.Get("fd")).duplicate();
  if (!is_absent(options.Get("handle")))
    source.handle = struct_argument<cu::CUipcMemHandle>(options.Get("handle"), "handle");
  return source;
}

HeldSlab::~HeldSlab() {
  wait_for_device(slab_->device());
}

HeldMapping::~HeldMapping() {
  if (!waited_) wait_for_device(device_);
}

void NativeSlab::define_class(Napi::Env env) {
  define(env, {getter<&NativeSlab::device_pointer>("devicePointer"), getter<&NativeSlab::bytes>("bytes"),
               getter<&NativeSlab::handle>("handle"), method<&NativeSlab::export_fd>("exportFd"),
               destroyer("close")});
}

Napi::Object NativeSlab::create(Napi::Env env, std::shared_ptr<HeldSlab> slab) {
  const size_t bytes = slab->get().bytes();
  const Napi::Object object = ResourceWrap::create(env, std::move(slab));
  from(object)->bytes_ = bytes;
  return object;
}

Napi::Value NativeSlab::device_pointer(const Napi::CallbackInfo& info) {
  return pointer_value(info.Env(), closed() ? 0 : resource()->get().pointer());
}

Napi::Value NativeSlab::bytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(bytes_));
}

Napi::Value NativeSlab::handle(const Napi::CallbackInfo& info) {
  const auto handle = resource()->get().handle();
  if (!handle) return info.Env().Undefined();
  return Napi::Buffer<char>::Copy(info.Env(), handle->reserved, sizeof handle->reserved);
}

Napi::Value NativeSlab::export_fd(const Napi::CallbackInfo& info) {
  return wrap_fd(info.Env(), resource()->get().export_fd());
}

void NativeMapping::define_class(Napi::Env env) {
  define(env,
         {getter<&NativeMapping::device>("device"), getter<&NativeMapping::device_pointer>("devicePointer"),
          getter<&NativeMapping::bytes>("bytes"), method<&NativeMapping::close>("close")});
}

Napi::Object NativeMapping::create(Napi::Env env, std::shared_ptr<HeldMapping> mapping) {
  const int device = mapping->device();
  const size_t bytes = mapping->get().bytes();
  const Napi::Object object = ResourceWrap::create(env, std::move(mapping));
  from(object)->device_ = device;
  from(object)->bytes_ = bytes;
  return object;
}

Napi::Value NativeMapping::device(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), device_);
}

Napi::Value NativeMapping::device_pointer(const Napi::CallbackInfo& info) {
  return pointer_value(info.Env(), closed() ? 0 : resource()->get().pointer());
}

Napi::Value NativeMapping::bytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(bytes_));
}

Napi::Value NativeMapping::close(const Napi::CallbackInfo& info) {
  const Napi::Value after = info[0];
  std::optional<AfterWork> work;
  if (!is_absent(after)) {
    work = unwrap_after(after);
    if (!work) invalid_argument("after", "a stream, an event or null", after);
  }
  const bool whole_device = after.IsUndefined();
  return run_async(info.Env(), [mapping = take(), work = std::move(work), whole_device]() mutable {
    if (!mapping) return;
    if (work) wait_for(*work);
    if (!whole_device) mapping->waited();
    mapping.reset();
  });
}

void export_slab(Napi::Env env, Napi::Object exports) {
  NativeSlab::define_class(env);
  NativeMapping::define_class(env);
  exports["createSlab"] = Napi::Function::New<checked<create_slab>>(env, "createSlab");
  exports["openSlab"] = Napi::Function::New<checked<open_slab>>(env, "openSlab");
  exports["rehearseMappings"] = Napi::Function::New<checked<rehearse>>(env, "rehearseMappings");
  exports["mappingStatistics"] = Napi::Function::New<checked<mapping_statistics>>(env, "mappingStatistics");
}

}  // namespace cuda_ipc
