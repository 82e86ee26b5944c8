// What the driver says about a pointer.
#include "driver/host/mapping.h"
#include "driver/host/state.h"

namespace cuda_ipc::host {
namespace {

constexpr unsigned kMemoryTypeHost = 1, kMemoryTypeDevice = 2;  // CUmemorytype

template <typename Value>
CUresult give(void* data, Value value) {
  *static_cast<Value*>(data) = value;
  return CUDA_SUCCESS;
}

}  // namespace

namespace api {

CUresult cuMemGetAddressRange(CUdeviceptr* base, size_t* bytes, CUdeviceptr pointer) {
  Context* context = nullptr;
  if (const CUresult result = current_context(context)) return result;
  const auto region = state().memory.find(pointer);
  if (!region) return CUDA_ERROR_NOT_FOUND;
  if (base != nullptr) *base = region->base;
  if (bytes != nullptr) *bytes = region->bytes;
  return CUDA_SUCCESS;
}

CUresult cuPointerGetAttribute(void* data, CUpointer_attribute attribute, CUdeviceptr pointer) {
  if (data == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const auto region = state().memory.find(pointer);
  if (!region) return CUDA_ERROR_INVALID_VALUE;
  const bool on_device = region->kind != RegionKind::kHost;
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT: {
      // VMM memory belongs to a device and to no context.
      Context* context = state().contexts[static_cast<size_t>(region->device)].get();
      return give(data, region->kind == RegionKind::kVmm ? nullptr : reinterpret_cast<CUcontext>(context));
    }
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
      return give(data, on_device ? kMemoryTypeDevice : kMemoryTypeHost);
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
      return give(data, pointer);
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
      return give(data, 0u);
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
      return give(data, region->device);
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
      return give(data, region->kind == RegionKind::kDevice ? 1u : 0u);
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
      return give(data, static_cast<CUdeviceptr>(region->base));
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
      return give(data, region->bytes);
    case CU_POINTER_ATTRIBUTE_MAPPED:
      return give(data, 1u);
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
      return give(
          data, static_cast<unsigned long long>(region->exportable ? CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
                                                                   : CU_MEM_HANDLE_TYPE_NONE));
  }
  return CUDA_ERROR_INVALID_VALUE;
}

}  // namespace api
}  // namespace cuda_ipc::host
