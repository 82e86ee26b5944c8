#include "driver/host/event.h"

#include "driver/host/state.h"

namespace cuda_ipc::host {

bool Event::done() {
  if (shared != nullptr) return shared->done(shared->last());
  const auto record = last();
  return record == nullptr || record->ticket.done();
}

std::shared_ptr<Event> find_event(CUevent handle, CUresult& result) {
  auto event = state().events.find(reinterpret_cast<uintptr_t>(handle));
  result = event == nullptr ? CUDA_ERROR_INVALID_HANDLE : event->context.status();
  return result == CUDA_SUCCESS ? event : nullptr;
}

namespace api {

CUresult cuEventCreate(CUevent* event, unsigned flags) {
  Context* context = nullptr;
  if (const CUresult result = current_context(context)) return result;
  constexpr unsigned kKnown = CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS;
  if (event == nullptr || (flags & ~kKnown) != 0) return CUDA_ERROR_INVALID_VALUE;
  const bool interprocess = (flags & CU_EVENT_INTERPROCESS) != 0;
  if (interprocess && (flags & CU_EVENT_DISABLE_TIMING) == 0) return CUDA_ERROR_INVALID_VALUE;
  auto created = std::make_shared<Event>(*context, flags);
  if (interprocess)
    if (const CUresult result = SharedEvent::create(created->shared)) return result;
  *event = reinterpret_cast<CUevent>(state().events.add(std::move(created)));
  return CUDA_SUCCESS;
}

CUresult cuEventDestroy(CUevent event) {
  return state().events.take(reinterpret_cast<uintptr_t>(event)) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuEventRecord(CUevent handle, CUstream stream_handle) {
  CUresult result = CUDA_SUCCESS;
  const auto event = find_event(handle, result);
  if (event == nullptr) return result;
  const auto stream = find_stream(event->context, stream_handle, result);
  if (stream == nullptr) return result;
  if (&stream->context != &event->context) return CUDA_ERROR_INVALID_HANDLE;
  Work work;
  if (event->shared != nullptr) {
    work.always = [shared = event->shared, number = event->shared->begin()] { shared->complete(number); };
    event->context.submit(stream, std::move(work));
    return CUDA_SUCCESS;
  }
  auto record = std::make_shared<Record>();
  work.always = [record] { record->time = std::chrono::steady_clock::now(); };
  const std::lock_guard<std::mutex> lock(event->mutex);
  record->ticket = event->context.submit(stream, std::move(work));
  event->last_record = std::move(record);
  return CUDA_SUCCESS;
}

CUresult cuEventQuery(CUevent handle) {
  CUresult result = CUDA_SUCCESS;
  const auto event = find_event(handle, result);
  if (event == nullptr) return result;
  return event->done() ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

CUresult cuEventSynchronize(CUevent handle) {
  CUresult result = CUDA_SUCCESS;
  const auto event = find_event(handle, result);
  if (event == nullptr) return result;
  if (event->shared != nullptr)
    event->shared->wait(event->shared->last());
  else if (const auto record = event->last())
    record->ticket.wait();
  return event->context.status();
}

CUresult cuEventElapsedTime(float* milliseconds, CUevent start_handle, CUevent end_handle) {
  if (milliseconds == nullptr) return CUDA_ERROR_INVALID_VALUE;
  CUresult result = CUDA_SUCCESS;
  const auto start = find_event(start_handle, result);
  if (start == nullptr) return result;
  const auto end = find_event(end_handle, result);
  if (end == nullptr) return result;
  const auto from = start->last(), to = end->last();
  if (((start->flags | end->flags) & CU_EVENT_DISABLE_TIMING) != 0 || from == nullptr || to == nullptr)
    return CUDA_ERROR_INVALID_HANDLE;
  if (!from->ticket.done() || !to->ticket.done()) return CUDA_ERROR_NOT_READY;
  *milliseconds = std::chrono::duration<float, std::milli>(to->time - from->time).count();
  return CUDA_SUCCESS;
}

}  // namespace api
}  // namespace cuda_ipc::host
