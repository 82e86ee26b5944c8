#include "wire/manifest.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>

#include "driver/error.h"
#include "wire/dtypes.h"

namespace cuda_ipc {

namespace {

constexpr char kMagic[8] = {'t', 'e', 'n', 's', 'o', 'r', 's', '1'};
constexpr uint64_t kMostBytes = 256u << 20;
constexpr uint64_t kMostExact = (uint64_t{1} << 53) - 1;  // that a JavaScript number holds

// The numbers of the file are little-endian, as are the machines that this runs on.
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

struct Header {
  char magic[8];
  uint32_t tensors;
  uint32_t unused;
  uint64_t dimensions;
  uint64_t name_bytes;
};
static_assert(sizeof(Header) == 32);

constexpr size_t round_up_to_8(size_t bytes) {
  return (bytes + 7) & ~size_t{7};
}

template <class Value>
Value read_at(std::string_view content, size_t offset) {
  Value value;
  std::memcpy(&value, content.data() + offset, sizeof value);
  return value;
}

// Of no code point in more bytes than it takes, of no surrogate, and of none beyond the last.
bool is_utf8(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    constexpr uint64_t kBeyondAscii = 0x8080808080808080;
    if (text.size() - at >= sizeof(uint64_t) && (read_at<uint64_t>(text, at) & kBeyondAscii) == 0) {
      at += sizeof(uint64_t);
      continue;
    }
    const auto first = static_cast<uint8_t>(text[at]);
    const size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (length == 0 || first > 0xf4 || text.size() - at < length) return false;
    for (size_t i = 1; i < length; ++i)
      if ((static_cast<uint8_t>(text[at + i]) & 0xc0) != 0x80) return false;
    const uint8_t second = length > 2 ? static_cast<uint8_t>(text[at + 1]) : 0;
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f)) return false;
    if ((first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f)) return false;
    at += length;
  }
  return true;
}

bool is_zero(std::string_view bytes) {
  return bytes.find_first_not_of('\0') == std::string_view::npos;
}

// For a message: names are any text, and may be long.
std::string quoted(std::string_view name) {
  std::string text = "\"";
  for (const char c : name.substr(0, 256)) {
    if (c == '"' || c == '\\') text += '\\';
    text += static_cast<unsigned char>(c) < ' ' ? '?' : c;
  }
  return text + '"';
}

Error broken(const std::string& why) {
  return {"ERR_CUDA_IPC_PROTOCOL", "The owner's manifest is broken: " + why + "."};
}

Error broken_tensor(std::string_view name, const std::string& why) {
  Error error = broken("tensor " + quoted(name) + ": " + why);
  error.texts.emplace_back("tensor", name);
  return error;
}

}  // namespace

struct Manifest::Record {
  uint64_t offset;
  uint64_t bytes;
  uint32_t name_offset;
  uint32_t name_bytes;
  uint32_t first_dimension;
  uint32_t rank;
  uint32_t slab;
  char dtype_text[12];  // filled up with zeros

  std::string_view dtype() const { return {dtype_text, ::strnlen(dtype_text, sizeof dtype_text)}; }
};

Manifest::Manifest(std::string_view content) : content_(content) {
  static_assert(sizeof(Record) == 48);
  if (content.size() < sizeof(Header)) throw broken("it has no header");
  const auto header = read_at<Header>(content, 0);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) throw broken("it is a file of another kind");
  const uint64_t bytes = content.size();
  // None of these is more than there are bytes, so nothing below overflows.
  const bool plausible = header.tensors <= bytes / sizeof(Record) &&
                         header.dimensions <= bytes / sizeof(uint64_t) && header.name_bytes <= bytes;
  size_ = header.tensors;
  dimensions_ = plausible ? header.dimensions : 0;
  order_ = sizeof(Header) + size_t{header.tensors} * sizeof(Record);
  shapes_ = order_ + round_up_to_8(size_t{header.tensors} * sizeof(uint32_t));
  const size_t names = shapes_ + static_cast<size_t>(dimensions_) * sizeof(uint64_t);
  if (!plausible || names + header.name_bytes != bytes)
    throw broken("its " + std::to_string(bytes) + " bytes do not fit its header");
  names_ = content.substr(names);
}

void Manifest::check(const std::vector<uint64_t>& slabs) const {
  const size_t order_end = order_ + size_t{size_} * sizeof(uint32_t);
  if (read_at<Header>(content_, 0).unused != 0 || !is_zero(content_.substr(order_end, shapes_ - order_end)))
    throw broken("there is something where zeros must be");
  check_partition();
  for (uint32_t index = 0; index < size_; ++index) check_tensor(record(index), slabs);
  check_order();
}

Manifest::Record Manifest::record(uint32_t index) const {
  return read_at<Record>(content_, sizeof(Header) + size_t{index} * sizeof(Record));
}

uint32_t Manifest::ordered(uint32_t position) const {
  return read_at<uint32_t>(content_, order_ + size_t{position} * sizeof(uint32_t));
}

uint64_t Manifest::dimension(uint64_t index) const {
  return read_at<uint64_t>(content_, shapes_ + static_cast<size_t>(index) * sizeof(uint64_t));
}

std::string_view Manifest::name_of(const Record& record) const {
  if (record.name_offset > names_.size()) return {};
  return names_.substr(record.name_offset, record.name_bytes);
}

std::optional<uint32_t> Manifest::find(std::string_view name) const {
  uint32_t begin = 0;
  uint32_t end = size_;
  while (begin < end) {
    const uint32_t middle = begin + (end - begin) / 2;
    const uint32_t index = ordered(middle);
    if (index >= size_) return std::nullopt;
    const int side = name.compare(name_of(record(index)));
    if (side == 0) return index;
    if (side < 0)
      end = middle;
    else
      begin = middle + 1;
  }
  return std::nullopt;
}

// Shapes and names stand in the order of the tensors, each once: whatever a file claims, to look it over
// takes time in proportion to its bytes.
void Manifest::check_partition() const {
  uint64_t dimensions = 0;
  uint64_t names = 0;
  for (uint32_t index = 0; index < size_; ++index) {
    const Record record = this->record(index);
    if (record.first_dimension != dimensions || record.name_offset != names)
      throw broken("the shape or the name of tensor " + std::to_string(index) +
                   " is not behind the one before");
    dimensions += record.rank;
    names += record.name_bytes;
    if (dimensions > dimensions_ || names > names_.size())
      throw broken("the shape or the name of tensor " + std::to_string(index) + " goes beyond the others");
  }
  if (dimensions != dimensions_ || names != names_.size()) throw broken("a part of it is no tensor's");
}

void Manifest::check_tensor(const Record& record, const std::vector<uint64_t>& slabs) const {
  const std::string_view name = name_of(record);
  if (!is_utf8(name)) throw broken_tensor("", "its name is not UTF-8");
  const std::optional<uint32_t> bits = bits_per_element(record.dtype());
  if (!is_zero({record.dtype_text + record.dtype().size(), sizeof record.dtype_text - record.dtype().size()}))
    throw broken_tensor(name, "there is something behind its dtype");
  if (!bits) throw broken_tensor(name, "its dtype " + quoted(record.dtype()) + " is not known");
  if (bytes_of_shape(record, *bits) != record.bytes)
    throw broken_tensor(name,
                        "its " + std::to_string(record.bytes) + " bytes do not fit its dtype and shape");
  if (record.slab >= slabs.size())
    throw broken_tensor(name, "there is no slab " + std::to_string(record.slab));
  const uint64_t room = slabs[record.slab];
  if (record.offset > room || record.bytes > room - record.offset)
    throw broken_tensor(name, "it ends behind its slab");
}

// Nothing where there is no such number of bytes, or none that JavaScript could tell.
std::optional<uint64_t> Manifest::bytes_of_shape(const Record& record, uint32_t bits) const {
  uint64_t elements = 1;
  for (uint32_t axis = 0; axis < record.rank; ++axis) {
    const uint64_t dimension = this->dimension(uint64_t{record.first_dimension} + axis);
    if (dimension > kMostExact || __builtin_mul_overflow(elements, dimension, &elements) ||
        elements > kMostExact)
      return std::nullopt;
  }
  const uint64_t all_bits = elements * bits;  // at most 2^59
  return all_bits <= kMostExact && all_bits % 8 == 0 ? std::optional(all_bits / 8) : std::nullopt;
}

// Ascending, so no two are the same, and every tensor is there.
void Manifest::check_order() const {
  std::string_view before;
  for (uint32_t position = 0; position < size_; ++position) {
    const uint32_t index = ordered(position);
    if (index >= size_) throw broken("there is no tensor " + std::to_string(index));
    const std::string_view name = name_of(record(index));
    if (position > 0 && name == before) throw broken_tensor(name, "its name is there twice");
    if (position > 0 && name < before) throw broken_tensor(name, "it stands out of order");
    before = name;
  }
}

size_t manifest_file_bytes(const Fd& fd) {
  struct stat facts {};
  // Only files in memory can be sealed: no other is read, which might have to be waited for.
  constexpr int kSealed = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
  const int seals = ::fcntl(fd.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSealed) != kSealed || ::fstat(fd.get(), &facts) != 0)
    throw broken("it is not a sealed file in memory");
  const auto bytes = static_cast<uint64_t>(facts.st_size);
  if (bytes > kMostBytes)
    throw broken("it has " + std::to_string(bytes) + " bytes, and " + std::to_string(kMostBytes) +
                 " is the limit");
  return static_cast<size_t>(bytes);
}

void read_manifest_file(const Fd& fd, uint8_t* content, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    // Whoever has the descriptor shares its position.
    const ssize_t got = ::pread(fd.get(), content + done, bytes - done, static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) throw broken("it cannot be read");
    done += static_cast<size_t>(got);
  }
}

}  // namespace cuda_ipc
