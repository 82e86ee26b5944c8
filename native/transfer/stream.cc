#include "transfer/stream.h"

#include "memory/undo.h"

namespace cuda_ipc {

Stream::Stream(int device, unsigned flags) : device_(device) {
  const ContextScope scope(device_);
  CUDA_IPC_CHECK(cuStreamCreate(&stream_, flags));
}

Stream::~Stream() {
  undo(device_, [this](const cu::Table& table) { table.cuStreamDestroy(stream_); });
}

Event::Event(int device) : device_(device) {
  const ContextScope scope(device_);
  CUDA_IPC_CHECK(cuEventCreate(&event_, cu::CU_EVENT_DISABLE_TIMING | cu::CU_EVENT_BLOCKING_SYNC));
}

Event::~Event() {
  undo(device_, [this](const cu::Table& table) { table.cuEventDestroy(event_); });
}

void Event::record(const Stream& stream) const {
  CUDA_IPC_CHECK(cuEventRecord(event_, stream.get()));
}

bool Event::reached() const {
  const cu::CUresult result = driver().cuEventQuery(event_);
  if (result != cu::CUDA_SUCCESS && result != cu::CUDA_ERROR_NOT_READY)
    throw_cuda_error(result, "cuEventQuery");
  return result == cu::CUDA_SUCCESS;
}

void Event::wait() const {
  CUDA_IPC_CHECK(cuEventSynchronize(event_));
}

}  // namespace cuda_ipc
