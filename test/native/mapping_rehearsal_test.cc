// The mapping that is rehearsed while a context comes up: when it is, that its failure is nobody's concern,
// and that nothing is left of it.
#include "memory/mapping_rehearsal.h"

#include <cstdlib>

#include "check.h"
#include "driver/host/host.h"
#include "fresh_scope.h"
#include "memory/slab.h"

using namespace cuda_ipc;

namespace {

void bring_up(int device) {
  const ContextScope scope(device);
  size_t free = 0;
  size_t total = 0;
  CUDA_IPC_CHECK(cuMemGetInfo(&free, &total));
  CHECK(free == total);
}

void make_slab(int device) {
  Slab::create(SlabId{}, device, 1, Sharing::kVmm);
}

bool fails(int device) {
  try {
    make_slab(device);
    return false;
  } catch (const Error&) {
    return true;
  }
}

void rehearses_nothing_unless_asked() {
  host::set_faults("cuMemMap:1=2");
  bring_up(0);
  CHECK(fails(0));
}

void rehearses_where_a_context_comes_up() {
  rehearse_mappings();
  host::set_faults("cuMemMap:2=2");
  bring_up(1);
  CHECK(!fails(1));  // the second call was the rehearsal's own
  host::set_faults("cuMemMap:1=2");
  bring_up(1);
  CHECK(fails(1));  // once
}

void rehearses_nothing_in_earnest() {
  host::set_faults("cuMemMap:1=2");
  const MappingInEarnest in_earnest;
  bring_up(2);
  CHECK(fails(2));
}

}  // namespace

int main() {
  use_fresh_scope();
  setenv("CUDA_IPC_HOST_DEVICES", "3", 1);
  choose_provider("host");
  rehearses_nothing_unless_asked();
  rehearses_where_a_context_comes_up();
  rehearses_nothing_in_earnest();
  std::printf("ok\n");
}
