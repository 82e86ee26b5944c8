#include "addon/stream.h"

#include "addon/event.h"
#include "addon/exports.h"
#include "memory/undo.h"

namespace cuda_ipc {

OwnedStream::OwnedStream(int device, unsigned flags) : device_(device) {
  const ContextScope scope(device_);
  CUDA_IPC_CHECK(cuStreamCreate(&stream_, flags));
}

OwnedStream::~OwnedStream() {
  undo(device_, [this](const cu::Table& table) { table.cuStreamDestroy(stream_); });
}

void OwnedStream::synchronize() const {
  const ContextScope scope(device_);
  CUDA_IPC_CHECK(cuStreamSynchronize(stream_));
}

void NativeStream::define_class(Napi::Env env) {
  define(env, {getter<&NativeStream::handle>("handle"), getter<&NativeStream::device>("device"),
               method<&NativeStream::synchronize>("synchronize"), method<&NativeStream::query>("query"),
               method<&NativeStream::wait_event>("waitEvent"), destroyer("destroy")});
}

Napi::Value NativeStream::handle(const Napi::CallbackInfo& info) {
  return Napi::BigInt::New(info.Env(), reinterpret_cast<uint64_t>(resource()->get()));
}

Napi::Value NativeStream::device(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), resource()->device());
}

Napi::Value NativeStream::synchronize(const Napi::CallbackInfo& info) {
  return run_async(info.Env(), [stream = resource()] { stream->synchronize(); });
}

Napi::Value NativeStream::query(const Napi::CallbackInfo& info) {
  const ContextScope scope(resource()->device());
  const cu::CUresult result = driver().cuStreamQuery(resource()->get());
  if (result != cu::CUDA_SUCCESS && result != cu::CUDA_ERROR_NOT_READY)
    throw_cuda_error(result, "cuStreamQuery");
  return Napi::Boolean::New(info.Env(), result == cu::CUDA_SUCCESS);
}

Napi::Value NativeStream::wait_event(const Napi::CallbackInfo& info) {
  NativeEvent* event = NativeEvent::from(info[0]);
  if (event == nullptr) invalid_argument("event", "an event", info[0]);
  const ContextScope scope(resource()->device());
  CUDA_IPC_CHECK(cuStreamWaitEvent(resource()->get(), event->resource()->get(), 0));
  return info.Env().Undefined();
}

namespace {

Napi::Value create_stream(const Napi::CallbackInfo& info) {
  const int device = device_argument(info[0]);
  const unsigned flags =
      boolean_argument(info[1], "nonBlocking") ? cu::CU_STREAM_NON_BLOCKING : cu::CU_STREAM_DEFAULT;
  return run_async(
      info.Env(), [=] { return std::make_shared<OwnedStream>(device, flags); },
      [](Napi::Env env, std::shared_ptr<OwnedStream>& stream) -> Napi::Value {
        return NativeStream::create(env, std::move(stream));
      });
}

}  // namespace

void export_stream(Napi::Env env, Napi::Object exports) {
  NativeStream::define_class(env);
  exports["createStream"] = Napi::Function::New<checked<create_stream>>(env, "createStream");
}

}  // namespace cuda_ipc
