// A handle from cuMemCreate or cuMemImportFromShareableHandle.
#pragma once

#include <memory>

#include "driver/host/allocation.h"
#include "driver/types.h"

namespace cuda_ipc::host {

struct VmmHandle {
  std::shared_ptr<Allocation> allocation;
  cu::CUmemAllocationProp properties{};
  bool imported = false;  // only who made the memory exports it, as with the real driver

  bool exportable() const {
    return properties.requestedHandleTypes == cu::CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  }
};

// Null when there is none.
std::shared_ptr<VmmHandle> find_vmm_handle(cu::CUmemGenericAllocationHandle handle);

}  // namespace cuda_ipc::host
