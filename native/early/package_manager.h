// Programs of Node's own kind that only start the one that is meant.
#pragma once

namespace cuda_ipc::early {

/** Whether the script that this process runs is npm, or one of its kind: CUDA is for what they start. */
bool is_package_manager();

}  // namespace cuda_ipc::early
