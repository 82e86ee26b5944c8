// IPC event handles.
#include <sys/stat.h>

#include <cstring>

#include "driver/host/event.h"
#include "driver/host/ipc_handle.h"
#include "driver/host/state.h"

namespace cuda_ipc::host::api {

CUresult cuIpcGetEventHandle(CUipcEventHandle* handle, CUevent event_handle) {
  CUresult result = CUDA_SUCCESS;
  const auto event = find_event(event_handle, result);
  if (event == nullptr) return result;
  if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (event->shared == nullptr || event->imported) return CUDA_ERROR_INVALID_HANDLE;
  struct stat facts {};
  if (fstat(event->shared->memory().get(), &facts) != 0) return result_of_errno(errno);
  IpcHandle made{};
  made.kind = IpcKind::kEvent;
  made.descriptor = event->shared->memory().get();
  made.inode = facts.st_ino;
  write_ipc_handle(made, handle->reserved);
  return CUDA_SUCCESS;
}

CUresult cuIpcOpenEventHandle(CUevent* event, CUipcEventHandle bytes) {
  Context* context = nullptr;
  if (const CUresult result = current_context(context)) return result;
  if (event == nullptr) return CUDA_ERROR_INVALID_VALUE;
  IpcHandle handle;
  if (!read_ipc_handle(bytes.reserved, IpcKind::kEvent, handle)) return CUDA_ERROR_MAP_FAILED;
  if (is_own(handle)) return CUDA_ERROR_INVALID_CONTEXT;
  Fd memory;
  if (open_exported(handle, memory) != ExporterState::kThere || !memory) return CUDA_ERROR_MAP_FAILED;
  auto opened = std::make_shared<Event>(*context, CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING);
  opened->imported = true;
  if (const CUresult result = SharedEvent::open(std::move(memory), opened->shared)) return result;
  *event = reinterpret_cast<CUevent>(state().events.add(std::move(opened)));
  return CUDA_SUCCESS;
}

}  // namespace cuda_ipc::host::api
