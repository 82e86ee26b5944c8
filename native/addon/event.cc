#include "addon/event.h"

#include "addon/exports.h"
#include "addon/unwrap.h"
#include "memory/undo.h"

namespace cuda_ipc {

OwnedEvent::OwnedEvent(int device, unsigned flags) : device_(device) {
  const ContextScope scope(device_);
  CUDA_IPC_CHECK(cuEventCreate(&event_, flags));
}

OwnedEvent::OwnedEvent(int device, const cu::CUipcEventHandle& handle) : device_(device) {
  const ContextScope scope(device_);
  CUDA_IPC_CHECK(cuIpcOpenEventHandle(&event_, handle));
}

OwnedEvent::~OwnedEvent() {
  undo(device_, [this](const cu::Table& table) { table.cuEventDestroy(event_); });
}

void OwnedEvent::record(cu::CUstream stream) const {
  const ContextScope scope(device_);
  CUDA_IPC_CHECK(cuEventRecord(event_, stream));
}

void OwnedEvent::synchronize() const {
  const ContextScope scope(device_);
  CUDA_IPC_CHECK(cuEventSynchronize(event_));
}

void NativeEvent::define_class(Napi::Env env) {
  define(env, {getter<&NativeEvent::handle>("handle"), getter<&NativeEvent::device>("device"),
               method<&NativeEvent::record>("record"), method<&NativeEvent::query>("query"),
               method<&NativeEvent::synchronize>("synchronize"),
               method<&NativeEvent::ipc_handle>("ipcHandle"), destroyer("destroy")});
}

Napi::Value NativeEvent::handle(const Napi::CallbackInfo& info) {
  return Napi::BigInt::New(info.Env(), reinterpret_cast<uint64_t>(resource()->get()));
}

Napi::Value NativeEvent::device(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), resource()->device());
}

Napi::Value NativeEvent::record(const Napi::CallbackInfo& info) {
  const auto stream = stream_argument(info[0], "stream", resource()->device());
  resource()->record(stream ? stream->handle : nullptr);
  return info.Env().Undefined();
}

Napi::Value NativeEvent::query(const Napi::CallbackInfo& info) {
  const ContextScope scope(resource()->device());
  const cu::CUresult result = driver().cuEventQuery(resource()->get());
  if (result != cu::CUDA_SUCCESS && result != cu::CUDA_ERROR_NOT_READY)
    throw_cuda_error(result, "cuEventQuery");
  return Napi::Boolean::New(info.Env(), result == cu::CUDA_SUCCESS);
}

Napi::Value NativeEvent::synchronize(const Napi::CallbackInfo& info) {
  return run_async(info.Env(), [event = resource()] { event->synchronize(); });
}

Napi::Value NativeEvent::ipc_handle(const Napi::CallbackInfo& info) {
  cu::CUipcEventHandle handle{};
  const ContextScope scope(resource()->device());
  CUDA_IPC_CHECK(cuIpcGetEventHandle(&handle, resource()->get()));
  return Napi::Buffer<char>::Copy(info.Env(), handle.reserved, sizeof(handle.reserved));
}

namespace {

// Makes the event on the pool.
template <class Argument>
Napi::Value make_event(Napi::Env env, int device, Argument argument) {
  return run_async(
      env, [=] { return std::make_shared<OwnedEvent>(device, argument); },
      [](Napi::Env env, std::shared_ptr<OwnedEvent>& event) -> Napi::Value {
        return NativeEvent::create(env, std::move(event));
      });
}

Napi::Value create_event(const Napi::CallbackInfo& info) {
  const Napi::Object options = object_argument(info[1], "options");
  unsigned flags = cu::CU_EVENT_DEFAULT;
  if (boolean_argument(options["interprocess"], "interprocess")) flags |= cu::CU_EVENT_INTERPROCESS;
  if (boolean_argument(options["blockingSync"], "blockingSync")) flags |= cu::CU_EVENT_BLOCKING_SYNC;
  if (!boolean_argument(options["timing"], "timing")) flags |= cu::CU_EVENT_DISABLE_TIMING;
  return make_event(info.Env(), device_argument(info[0]), flags);
}

Napi::Value open_event_handle(const Napi::CallbackInfo& info) {
  return make_event(info.Env(), device_argument(info[0]),
                    struct_argument<cu::CUipcEventHandle>(info[1], "handle"));
}

NativeEvent& event_argument(Napi::Value value, const char* name) {
  NativeEvent* event = NativeEvent::from(value);
  if (event == nullptr) invalid_argument(name, "an event", value);
  return *event;
}

Napi::Value event_elapsed_time(const Napi::CallbackInfo& info) {
  const auto& start = event_argument(info[0], "start").resource();
  const auto& end = event_argument(info[1], "end").resource();
  float milliseconds = 0;
  const ContextScope scope(end->device());
  CUDA_IPC_CHECK(cuEventElapsedTime(&milliseconds, start->get(), end->get()));
  return Napi::Number::New(info.Env(), milliseconds);
}

}  // namespace

void export_event(Napi::Env env, Napi::Object exports) {
  NativeEvent::define_class(env);
  exports["createEvent"] = Napi::Function::New<checked<create_event>>(env, "createEvent");
  exports["ipcOpenEventHandle"] = Napi::Function::New<checked<open_event_handle>>(env, "ipcOpenEventHandle");
  exports["eventElapsedTime"] = Napi::Function::New<checked<event_elapsed_time>>(env, "eventElapsedTime");
}

}  // namespace cuda_ipc
