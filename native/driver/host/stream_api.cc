#include "driver/host/event.h"
#include "driver/host/state.h"

namespace cuda_ipc::host {

std::shared_ptr<Stream> find_stream(Context& context, CUstream handle, CUresult& result) {
  const auto value = reinterpret_cast<uintptr_t>(handle);
  auto stream = value <= 1 ? context.default_stream() : state().streams.find(value);  // 1: CU_STREAM_LEGACY
  result = stream == nullptr ? CUDA_ERROR_INVALID_HANDLE : stream->context.status();
  return result == CUDA_SUCCESS ? stream : nullptr;
}

namespace {

// As find_stream, with the current context to say which default stream is meant.
std::shared_ptr<Stream> current_stream(CUstream handle, CUresult& result) {
  Context* context = nullptr;
  result = current_context(context);
  return result == CUDA_SUCCESS ? find_stream(*context, handle, result) : nullptr;
}

}  // namespace

namespace api {

CUresult cuStreamCreate(CUstream* stream, unsigned flags) {
  Context* context = nullptr;
  if (const CUresult result = current_context(context)) return result;
  if (stream == nullptr || (flags & ~CU_STREAM_NON_BLOCKING) != 0) return CUDA_ERROR_INVALID_VALUE;
  const bool blocking = (flags & CU_STREAM_NON_BLOCKING) == 0;
  *stream = reinterpret_cast<CUstream>(state().streams.add(context->create_stream(blocking)));
  return CUDA_SUCCESS;
}

// Returns at once: what is queued is still done.
CUresult cuStreamDestroy(CUstream handle) {
  const auto stream = state().streams.take(reinterpret_cast<uintptr_t>(handle));
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  stream->close();
  return CUDA_SUCCESS;
}

CUresult cuStreamSynchronize(CUstream handle) {
  CUresult result = CUDA_SUCCESS;
  const auto stream = current_stream(handle, result);
  if (stream == nullptr) return result;
  stream->context.wait_for(*stream);
  return stream->context.status();
}

CUresult cuStreamQuery(CUstream handle) {
  CUresult result = CUDA_SUCCESS;
  const auto stream = current_stream(handle, result);
  if (stream == nullptr) return result;
  return stream->context.pending(*stream).empty() ? stream->context.status() : CUDA_ERROR_NOT_READY;
}

CUresult cuStreamWaitEvent(CUstream stream_handle, CUevent event_handle, unsigned flags) {
  if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
  CUresult result = CUDA_SUCCESS;
  const auto stream = current_stream(stream_handle, result);
  if (stream == nullptr) return result;
  const auto event = find_event(event_handle, result);
  if (event == nullptr) return result;
  if (event->done()) return CUDA_SUCCESS;
  Work work;
  if (event->shared != nullptr)
    work.wait = [shared = event->shared, number = event->shared->last()] { shared->wait(number); };
  else
    work.after.push_back(event->last()->ticket);
  stream->context.submit(stream, std::move(work));
  return CUDA_SUCCESS;
}

}  // namespace api
}  // namespace cuda_ipc::host
