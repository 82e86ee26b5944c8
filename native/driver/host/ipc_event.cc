// IPC event handles.
#include <sys/stat.h>

#include <cstring>

#include "driver/host/event.h"
#include "driver/host/ipc_handle.h"
#include "driver/host/state.h"

namespace cuda_ipc::host {
namespace {

// Who is dead has no work that anybody could wait for: its event opens, as the real driver has it, and is
// done. It is this opener's own then, for nobody can tell whether others still have the exporter's.
CUresult open_shared(const IpcHandle& handle, std::shared_ptr<SharedEvent>& shared) {
  Fd memory;
  const ExporterState exporter = open_exported(handle, memory);
  if (memory) return SharedEvent::open(std::move(memory), shared);
  if (exporter == ExporterState::kDead && is_proven_dead(handle.process(), handle.id))
    return SharedEvent::create(shared);
  return CUDA_ERROR_MAP_FAILED;
}

}  // namespace

namespace api {

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
  made.id = pid_namespace();
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
  auto opened = std::make_shared<Event>(*context, CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING);
  opened->imported = true;
  if (const CUresult result = open_shared(handle, opened->shared)) return result;
  *event = reinterpret_cast<CUevent>(state().events.add(std::move(opened)));
  return CUDA_SUCCESS;
}

}  // namespace api
}  // namespace cuda_ipc::host
