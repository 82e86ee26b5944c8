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

// A view of a file's content, which stays the caller's.
class Manifest {
 public:
  // Throws Error (ERR_CUDA_IPC_PROTOCOL) where the parts that the header names are not those of the content.
  explicit Manifest(std::string_view content);

  // Takes nothing for granted: every tensor has a name of its own and a known dtype, has the size that its
  // shape says, and lies within its slab. `slabs`: their bytes. Throws Error (ERR_CUDA_IPC_PROTOCOL), which
  // names the tensor and what is wrong.
  void check(const std::vector<uint64_t>& slabs) const;

  // The index of the tensor of that name. Harmless, and of no meaning, in a content that has not been
  // checked.
  std::optional<uint32_t> find(std::string_view name) const;

 private:
  struct Record;

  Record record(uint32_t index) const;
  uint32_t ordered(uint32_t position) const;
  uint64_t dimension(uint64_t index) const;
  std::string_view name_of(const Record& record) const;
  std::optional<uint64_t> bytes_of_shape(const Record& record, uint32_t bits) const;
  void check_partition() const;
  void check_tensor(const Record& record, const std::vector<uint64_t>& slabs) const;
  void check_order() const;

  std::string_view content_;
  uint32_t size_ = 0;
  uint64_t dimensions_ = 0;
  // Where the parts lie.
  size_t order_ = 0;
  size_t shapes_ = 0;
  std::string_view names_;
};

// The length of such a file, which must be sealed against any change, and its content. Throws Error:
// ERR_CUDA_IPC_PROTOCOL for anything else, such as a file that a read could wait for.
size_t manifest_file_bytes(const Fd& fd);
void read_manifest_file(const Fd& fd, uint8_t* content, size_t bytes);

}  // namespace cuda_ipc
