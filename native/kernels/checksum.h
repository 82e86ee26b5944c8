// The 128-bit checksum of device memory: one definition for the GPU kernel, the host implementation and the
// tests, and the specification for implementations in other languages.
//
// All arithmetic is on unsigned 64-bit integers and wraps. The data is cut into words of 8 bytes,
// little-endian, numbered from 0; the last one is padded with zero bytes. fold(x) = x ^ (x >> 32), swap(x)
// exchanges the two 32-bit halves of x. For word w with number i:
//
//   key = (i + 1) * 0x9E3779B97F4A7C15
//   x   = fold(w + key) * 0xFF51AFD7ED558CCD
//   x   = fold(x) * 0xC4CEB9FE1A85EC53
//   y   = fold(swap(x) ^ key) * 0xD6E8FEB86659FD93
//   first  += fold(x)
//   second += fold(y)
//
// The two sums start at 0. Addition commutes, so the words may be taken in any order and in any pieces: the
// sums of the whole are the sums of its pieces' sums, as long as every word is given its number in the whole
// (so a piece begins at a multiple of 8 bytes). At the end, with n the number of bytes and mix(x) the
// finalizer of MurmurHash3 (with shifts by 33 between its multiplications by 0xFF51AFD7ED558CCD and
// 0xC4CEB9FE1A85EC53, before them and after them):
//
//   a = first  + (n + 1) * 0x9E3779B97F4A7C15
//   b = second + (n + 1) * 0xD6E8FEB86659FD93
//   a += mix(b);  b += mix(a);  a += mix(b)
//
// The checksum is a then b, 8 bytes each, little-endian.
//
// For every i, w -> x is a bijection in which each input bit moves each output bit about half the time, so a
// changed word always changes its term; the number enters both terms, at different places, so exchanged,
// shifted and zeroed words change them too. Shifts by 32 are free of shift instructions on a GPU: about 26
// integer instructions per word, under what memory bandwidth leaves. This finds damage, not forgery: it has
// no key.
#pragma once

#ifdef __CUDACC__
#define CUDA_IPC_BOTH __host__ __device__ inline
#else
#define CUDA_IPC_BOTH inline
#endif

namespace cuda_ipc {

using Word = unsigned long long;  // 64 bits, and the type CUDA's atomics take

constexpr Word kChecksumKey = 0x9E3779B97F4A7C15ull;
constexpr Word kChecksumMix1 = 0xFF51AFD7ED558CCDull;
constexpr Word kChecksumMix2 = 0xC4CEB9FE1A85EC53ull;
constexpr Word kChecksumMix3 = 0xD6E8FEB86659FD93ull;

struct ChecksumSums {
  Word first = 0;
  Word second = 0;
};

CUDA_IPC_BOTH Word checksum_fold(Word x) {
  return x ^ (x >> 32);
}
CUDA_IPC_BOTH Word checksum_key(Word number) {
  return (number + 1) * kChecksumKey;
}

// `key` is checksum_key() of the word's number: loops add to it instead of multiplying.
CUDA_IPC_BOTH void checksum_add(ChecksumSums& sums, Word word, Word key) {
  Word x = checksum_fold(word + key) * kChecksumMix1;
  x = checksum_fold(x) * kChecksumMix2;
  const Word y = checksum_fold(((x << 32) | (x >> 32)) ^ key) * kChecksumMix3;
  sums.first += checksum_fold(x);
  sums.second += checksum_fold(y);
}

// `count` bytes, at most 8, as a word.
CUDA_IPC_BOTH Word checksum_bytes(const unsigned char* bytes, unsigned count) {
  Word word = 0;
  for (unsigned i = 0; i < count; ++i) word |= static_cast<Word>(bytes[i]) << (8 * i);
  return word;
}

inline Word checksum_mix(Word x) {
  x = (x ^ (x >> 33)) * kChecksumMix1;
  x = (x ^ (x >> 33)) * kChecksumMix2;
  return x ^ (x >> 33);
}

// The 16 bytes of the checksum of `bytes` bytes whose words have these sums.
inline void checksum_finish(ChecksumSums sums, Word bytes, unsigned char (&result)[16]) {
  Word a = sums.first + (bytes + 1) * kChecksumKey;
  Word b = sums.second + (bytes + 1) * kChecksumMix3;
  a += checksum_mix(b);
  b += checksum_mix(a);
  a += checksum_mix(b);
  for (int i = 0; i < 8; ++i) {
    result[i] = static_cast<unsigned char>(a >> (8 * i));
    result[8 + i] = static_cast<unsigned char>(b >> (8 * i));
  }
}

}  // namespace cuda_ipc
