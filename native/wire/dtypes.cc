#include "wire/dtypes.h"

namespace cuda_ipc {

namespace {

struct Dtype {
  std::string_view name;
  uint32_t bits;
};

constexpr Dtype kDtypes[] = {
    {"BF16", 16},   {"F16", 16},        {"F32", 32},        {"F8_E4M3", 8}, {"F8_E5M2", 8}, {"I8", 8},
    {"U8", 8},      {"I32", 32},        {"I64", 64},        {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},
    {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"BOOL", 8},    {"I16", 16},    {"U16", 16},
    {"U32", 32},    {"C64", 64},        {"F64", 64},        {"U64", 64},
};

}  // namespace

std::optional<uint32_t> bits_per_element(std::string_view dtype) {
  for (const Dtype& known : kDtypes)
    if (known.name == dtype) return known.bits;
  return std::nullopt;
}

}  // namespace cuda_ipc
