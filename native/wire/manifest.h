// The list of a version's tensors as an owner hands it to workers: a sealed file in memory, with records of
// one size, that is checked as a whole and then looked into (docs/protocol.md, "Manifest files").
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "memory/fd.h"

namespace cuda_ipc {

class Manifest {
 public:
  struct Tensor {
    std::string_view name;   // as long as the manifest lives, as is the next
    std::string_view dtype;  // of the safetensors format
    uint32_t rank;
    uint32_t slab;    // index into the version's slabs
    uint64_t offset;  // from the beginning of the slab
    uint64_t bytes;
  };

  // Takes nothing for granted: every tensor has a name of its own and a known dtype, has the size that its
  // shape says, and lies within its slab. `slabs`: their bytes. Throws Error (ERR_CUDA_IPC_PROTOCOL), which
  // names the tensor and what is wrong.
  Manifest(std::vector<uint8_t> content, const std::vector<uint64_t>& slabs);

  uint32_t size() const { return size_; }
  size_t bytes() const { return content_.size(); }
  // In the order of the version's source. `index` is less than the size.
  Tensor tensor(uint32_t index) const;
  // `axis` is less than the tensor's rank.
  uint64_t dimension(uint32_t index, uint32_t axis) const;
  std::optional<uint32_t> find(std::string_view name) const;

 private:
  struct Record;

  Record record(uint32_t index) const;
  uint32_t ordered(uint32_t position) const;
  std::string_view name_of(const Record& record) const;
  std::string_view dtype_of(uint32_t index) const;
  std::optional<uint64_t> bytes_of_shape(uint32_t index, uint32_t rank, uint32_t bits) const;
  void check_outline();
  void check_partition() const;
  void check_tensor(uint32_t index, const std::vector<uint64_t>& slabs) const;
  void check_order() const;

  std::vector<uint8_t> content_;
  uint32_t size_ = 0;
  uint64_t dimensions_ = 0;
  // Where the parts lie.
  size_t order_ = 0;
  size_t shapes_ = 0;
  size_t names_ = 0;
};

// What is in the file, which must be sealed against any change. Throws Error: ERR_CUDA_IPC_PROTOCOL for
// anything else, such as a file that a read could wait for.
std::vector<uint8_t> read_manifest_file(const Fd& fd);

}  // namespace cuda_ipc
