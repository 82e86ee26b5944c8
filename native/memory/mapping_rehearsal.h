// What a process's first mapping costs beyond those that follow, paid while its CUDA comes up.
#pragma once

namespace cuda_ipc {

// From now on, a device whose context comes up has a little memory mapped and unmapped, as an importer does:
// the first mapping of a process takes longer than the next (`npm run bench:attach` prints both), and this is
// little beside the context. Not where the context comes up for a mapping.
void rehearse_mappings();

// While it lives, its thread maps in earnest: a context that comes up on it rehearses nothing.
class MappingInEarnest {
 public:
  MappingInEarnest();
  ~MappingInEarnest();
  MappingInEarnest(const MappingInEarnest&) = delete;
  MappingInEarnest& operator=(const MappingInEarnest&) = delete;

 private:
  bool before_;
};

}  // namespace cuda_ipc
