// Binding a Unix socket to a path, with the mode it is to have.
#pragma once

#include <string>

#include "memory/fd.h"

namespace cuda_ipc {

// A listening, non-blocking socket at `path`. See Listener::open().
Fd listen_at(const std::string& path, unsigned mode, int backlog);

}  // namespace cuda_ipc
