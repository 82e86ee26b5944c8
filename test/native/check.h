// What the native tests check with: each is a plain program that fails at its first wrong expectation.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

#include "driver/error.h"

#define CHECK(condition)                                                            \
  do {                                                                              \
    if (!(condition)) {                                                             \
      std::fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #condition); \
      std::_Exit(1);                                                                \
    }                                                                               \
  } while (false)

// The Error that `body` throws, which must have this code.
template <class Body>
cuda_ipc::Error thrown(const char* code, Body body) {
  try {
    body();
  } catch (const cuda_ipc::Error& error) {
    if (error.code() == code) return error;
    std::fprintf(stderr, "expected %s, but got %s: %s\n", code, error.code().c_str(), error.what());
    std::_Exit(1);
  }
  std::fprintf(stderr, "expected %s, but nothing was thrown\n", code);
  std::_Exit(1);
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
