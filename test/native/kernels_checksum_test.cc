// The checksum algorithm itself: its quality, its pieces, and a fixed result for other implementations.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "check.h"
#include "kernels/checksum.h"

using namespace cuda_ipc;

namespace {

using Bytes = std::vector<unsigned char>;

ChecksumSums sums_of(const Bytes& data, size_t from, size_t to) {
  ChecksumSums sums;
  for (size_t i = from; i < to; i += 8)
    checksum_add(sums, checksum_bytes(&data[i], std::min<size_t>(8, to - i)), checksum_key(i / 8));
  return sums;
}

std::string finished(ChecksumSums sums, size_t bytes) {
  unsigned char result[16];
  checksum_finish(sums, bytes, result);
  std::string text;
  char hex[3];
  for (unsigned char byte : result) {
    std::snprintf(hex, sizeof(hex), "%02x", byte);
    text += hex;
  }
  return text;
}

std::string checksum(const Bytes& data) {
  return finished(sums_of(data, 0, data.size()), data.size());
}

Bytes random_bytes(size_t count, unsigned seed) {
  std::mt19937_64 random(seed);
  Bytes data(count);
  for (auto& byte : data) byte = static_cast<unsigned char>(random());
  return data;
}

// Values for other implementations to compare with.
void known_results() {
  Bytes counting(1000);
  for (size_t i = 0; i < counting.size(); ++i) counting[i] = static_cast<unsigned char>(i);
  CHECK(checksum({}) == "e2cfce6fc75f1f7f4be87571cc9765de");
  CHECK(checksum({0}) == "fbe7b5349ccdb520373cc81e5d1696cc");
  CHECK(checksum({'c', 'u', 'd', 'a', '-', 'i', 'p', 'c'}) == "faf9d8597b98b19324987602d740281c");
  CHECK(checksum(counting) == "32016086d2bb979993fce2879abc7b72");
}

void pieces() {
  const Bytes data = random_bytes(1003, 1);
  for (size_t cut = 0; cut <= data.size(); cut += 8) {
    const ChecksumSums left = sums_of(data, 0, cut);
    const ChecksumSums right = sums_of(data, cut, data.size());
    CHECK(finished({left.first + right.first, left.second + right.second}, data.size()) == checksum(data));
  }
}

// What happens to weights in practice: nothing of it may leave the checksum as it was.
void damage() {
  const Bytes original = random_bytes(64 * 1024, 2);
  std::set<std::string> seen = {checksum(original)};
  size_t kinds = 1;
  const auto differs = [&](const Bytes& data) {
    ++kinds;
    seen.insert(checksum(data));
  };
  for (size_t i = 0; i + 16 <= original.size(); i += 1016) {
    Bytes swapped = original;
    std::swap_ranges(swapped.begin() + i, swapped.begin() + i + 8, swapped.begin() + i + 8);
    differs(swapped);
    Bytes flipped = original;
    flipped[i] ^= 1 << (i / 8 % 8);
    differs(flipped);
    Bytes zeroed = original;
    std::memset(&zeroed[i], 0, 16);
    differs(zeroed);
  }
  for (size_t shift = 1; shift < 40; ++shift) {
    Bytes shifted = original;
    std::memmove(&shifted[shift], &original[0], original.size() - shift);
    differs(shifted);
  }
  for (size_t zeros = 0; zeros < 200; ++zeros) differs(Bytes(zeros));  // lengths of nothing
  for (size_t at = 0; at < 200; ++at) {
    Bytes one(200);
    one[at] = 1;
    differs(one);
  }
  CHECK(seen.size() == kinds);
}

// Each bit of a word and of its number moves each bit of its terms about half the time.
void avalanche() {
  constexpr int kSamples = 4000;
  std::mt19937_64 random(3);
  double worst = 0;
  for (int bit = 0; bit < 128; ++bit) {
    int moved[128] = {};
    for (int sample = 0; sample < kSamples; ++sample) {
      const Word word = sample % 2 == 0 ? random() : sample;
      const Word number = random() % 100000;
      ChecksumSums before;
      ChecksumSums after;
      checksum_add(before, word, checksum_key(number));
      if (bit < 64)
        checksum_add(after, word ^ Word{1} << bit, checksum_key(number));
      else
        checksum_add(after, word, checksum_key(number ^ Word{1} << (bit - 64)));
      for (int out = 0; out < 64; ++out) {
        moved[out] += (before.first ^ after.first) >> out & 1;
        moved[64 + out] += (before.second ^ after.second) >> out & 1;
      }
    }
    for (int count : moved) worst = std::max(worst, std::fabs(count / double{kSamples} - 0.5));
  }
  CHECK(worst < 6 * 0.5 / std::sqrt(double{kSamples}));  // six standard deviations
}

}  // namespace

int main() {
  known_results();
  pieces();
  damage();
  avalanche();
  return 0;
}
