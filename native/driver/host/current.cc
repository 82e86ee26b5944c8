// Primary contexts and each thread's stack of current ones.
#include "driver/host/state.h"

namespace cuda_ipc::host {
namespace {

// Plain data, so that a thread's last calls find it intact whatever is destroyed before.
struct Stack {
  Context* contexts[64];
  unsigned depth;
};
thread_local Stack stack{};

CUcontext handle_of(Context* context) {
  return reinterpret_cast<CUcontext>(context);
}

Context* find_context(CUcontext handle) {
  for (const auto& context : state().contexts)
    if (handle_of(context.get()) == handle) return context.get();
  return nullptr;
}

}  // namespace

Context* current_context_or_null() {
  return stack.depth == 0 ? nullptr : stack.contexts[stack.depth - 1];
}

CUresult current_context(Context*& context) {
  context = current_context_or_null();
  if (context == nullptr || !context->active()) return CUDA_ERROR_INVALID_CONTEXT;
  return context->status();
}

namespace api {

CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (!state().has_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  Context& primary = *state().contexts[static_cast<size_t>(device)];
  if (primary.status() != CUDA_SUCCESS) return primary.status();
  primary.retain();
  *context = handle_of(&primary);
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease(CUdevice device) {
  if (!state().has_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  return state().contexts[static_cast<size_t>(device)]->release() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned* flags, int* active) {
  if (flags == nullptr || active == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (!state().has_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  *flags = 0;
  *active = state().contexts[static_cast<size_t>(device)]->active() ? 1 : 0;
  return CUDA_SUCCESS;
}

CUresult cuCtxPushCurrent(CUcontext context) {
  Context* found = find_context(context);
  if (found == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  if (stack.depth == sizeof(stack.contexts) / sizeof(stack.contexts[0])) return CUDA_ERROR_INVALID_VALUE;
  stack.contexts[stack.depth++] = found;
  return CUDA_SUCCESS;
}

CUresult cuCtxPopCurrent(CUcontext* context) {
  if (stack.depth == 0) return CUDA_ERROR_INVALID_CONTEXT;
  Context* popped = stack.contexts[--stack.depth];
  if (context != nullptr) *context = handle_of(popped);
  return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext* context) {
  if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *context = handle_of(current_context_or_null());
  return CUDA_SUCCESS;
}

CUresult cuCtxSynchronize() {
  Context* context = nullptr;
  if (const CUresult result = current_context(context)) return result;
  context->wait_for_all();
  return context->status();
}

}  // namespace api
}  // namespace cuda_ipc::host
