// Allocations that are not mapped where they are made.
#include "driver/host/vmm.h"

#include "driver/host/mapping.h"
#include "driver/host/state.h"

namespace cuda_ipc::host {

std::shared_ptr<VmmHandle> find_vmm_handle(CUmemGenericAllocationHandle handle) {
  return state().vmm_handles.find(static_cast<uintptr_t>(handle));
}

namespace {

CUresult check(const CUmemAllocationProp* properties) {
  if (properties == nullptr || properties->type != CU_MEM_ALLOCATION_TYPE_PINNED ||
      properties->location.type != CU_MEM_LOCATION_TYPE_DEVICE)
    return CUDA_ERROR_INVALID_VALUE;
  if (!state().has_device(properties->location.id)) return CUDA_ERROR_INVALID_DEVICE;
  const auto types = properties->requestedHandleTypes;
  return types == CU_MEM_HANDLE_TYPE_NONE || types == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
             ? CUDA_SUCCESS
             : CUDA_ERROR_NOT_SUPPORTED;
}

CUmemGenericAllocationHandle give_out(std::shared_ptr<Allocation> allocation,
                                      const CUmemAllocationProp& properties, bool imported) {
  auto handle = std::make_shared<VmmHandle>();
  handle->allocation = std::move(allocation);
  handle->properties = properties;
  handle->imported = imported;
  return state().vmm_handles.add(std::move(handle));
}

}  // namespace

namespace api {

CUresult cuMemGetAllocationGranularity(size_t* granularity, const CUmemAllocationProp* properties,
                                       CUmemAllocationGranularity_flags option) {
  if (granularity == nullptr || option < CU_MEM_ALLOC_GRANULARITY_MINIMUM ||
      option > CU_MEM_ALLOC_GRANULARITY_RECOMMENDED)
    return CUDA_ERROR_INVALID_VALUE;
  if (const CUresult result = check(properties)) return result;
  *granularity = kGranularity;
  return CUDA_SUCCESS;
}

CUresult cuMemCreate(CUmemGenericAllocationHandle* handle, size_t bytes,
                     const CUmemAllocationProp* properties, unsigned long long flags) {
  if (handle == nullptr || flags != 0 || bytes == 0 || bytes % kGranularity != 0)
    return CUDA_ERROR_INVALID_VALUE;
  if (const CUresult result = check(properties)) return result;
  std::shared_ptr<Allocation> allocation;
  if (const CUresult result = allocate(properties->location.id, bytes, allocation)) return result;
  *handle = give_out(std::move(allocation), *properties, false);
  return CUDA_SUCCESS;
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
  return state().vmm_handles.take(static_cast<uintptr_t>(handle)) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp* properties,
                                                CUmemGenericAllocationHandle handle) {
  const auto found = find_vmm_handle(handle);
  if (properties == nullptr || found == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *properties = found->properties;
  return CUDA_SUCCESS;
}

CUresult cuMemExportToShareableHandle(void* shareable_handle, CUmemGenericAllocationHandle handle,
                                      CUmemAllocationHandleType type, unsigned long long flags) {
  const auto found = find_vmm_handle(handle);
  if (shareable_handle == nullptr || found == nullptr || flags != 0 || found->imported ||
      type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR || !found->exportable())
    return CUDA_ERROR_INVALID_VALUE;
  Fd descriptor;
  if (const CUresult result = export_allocation(*found->allocation, descriptor)) return result;
  *static_cast<int*>(shareable_handle) = descriptor.release();
  return CUDA_SUCCESS;
}

CUresult cuMemImportFromShareableHandle(CUmemGenericAllocationHandle* handle, void* os_handle,
                                        CUmemAllocationHandleType type) {
  if (handle == nullptr || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) return CUDA_ERROR_INVALID_VALUE;
  std::shared_ptr<Allocation> allocation;
  const auto descriptor = static_cast<int>(reinterpret_cast<intptr_t>(os_handle));
  if (const CUresult result = import_allocation(descriptor, allocation)) return result;
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, allocation->device};
  *handle = give_out(std::move(allocation), properties, true);
  return CUDA_SUCCESS;
}

}  // namespace api
}  // namespace cuda_ipc::host
