// What the environment asks of this process.
#pragma once

#include <climits>

namespace cuda_ipc::early {

struct Request {
  int device;              // ordinal
  char library[PATH_MAX];  // of the driver, for dlopen
};

/**
 * Whether this is the program that the environment means, and there is something to be done in it. The
 * variables are taken away from that program, so that none of its children does the same; any other program
 * passes them on.
 */
bool take_request(Request& request);

}  // namespace cuda_ipc::early
