#include "memory/mapping_table.h"

namespace cuda_ipc {

MappingTable& mapping_table() {
  static MappingTable* const table = new MappingTable;
  return *table;
}

}  // namespace cuda_ipc
