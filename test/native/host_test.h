// For tests of the host driver with several processes: a program starts itself again in a role, and the two
// talk over a socket that also carries descriptors.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "driver/host/host.h"
#include "fresh_scope.h"

using namespace cuda_ipc;
using namespace cuda_ipc::cu;

inline void expect_result(CUresult expected, CUresult actual, const char* call, const char* file, int line) {
  if (expected == actual) return;
  std::fprintf(stderr, "%s:%d: expected %d but got %d from %s\n", file, line, expected, actual, call);
  std::_Exit(1);
}
#define EXPECT(expected, call) expect_result(expected, host::table().call, #call, __FILE__, __LINE__)
#define OK(call) EXPECT(CUDA_SUCCESS, call)

constexpr size_t kMiB = 1 << 20;

inline CUcontext bring_up(int device = 0) {
  OK(cuInit(0));
  CUcontext context = nullptr;
  OK(cuDevicePrimaryCtxRetain(&context, device));
  OK(cuCtxPushCurrent(context));
  return context;
}

inline size_t used_bytes() {
  size_t free_bytes = 0, total_bytes = 0;
  OK(cuMemGetInfo(&free_bytes, &total_bytes));
  return total_bytes - free_bytes;
}

inline CUmemAllocationProp properties(
    int device = 0, CUmemAllocationHandleType type = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) {
  CUmemAllocationProp made{};
  made.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  made.requestedHandleTypes = type;
  made.location = {CU_MEM_LOCATION_TYPE_DEVICE, device};
  return made;
}

inline CUdeviceptr map(CUmemGenericAllocationHandle handle, size_t bytes, CUmemAccess_flags flags,
                       int device = 0) {
  CUdeviceptr pointer = 0;
  OK(cuMemAddressReserve(&pointer, bytes, 0, 0, 0));
  OK(cuMemMap(pointer, bytes, 0, handle, 0));
  const CUmemAccessDesc access{{CU_MEM_LOCATION_TYPE_DEVICE, device}, flags};
  OK(cuMemSetAccess(pointer, bytes, &access, 1));
  return pointer;
}

inline void unmap(CUdeviceptr pointer, size_t bytes) {
  OK(cuMemUnmap(pointer, bytes));
  OK(cuMemAddressFree(pointer, bytes));
}

inline void* as_os_handle(int fd) {
  return reinterpret_cast<void*>(static_cast<intptr_t>(fd));
}

inline std::vector<unsigned char> read_back(CUdeviceptr pointer, size_t bytes) {
  std::vector<unsigned char> data(bytes);
  OK(cuMemcpyDtoH(data.data(), pointer, bytes));
  return data;
}

inline bool all_are(const std::vector<unsigned char>& data, unsigned char value) {
  for (const unsigned char byte : data)
    if (byte != value) return false;
  return true;
}

// One end of the socket between two processes.
class Line {
 public:
  explicit Line(int fd) : fd_(fd) {}

  template <typename Value>
  void send(const Value& value, int fd = -1) const {
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    iovec part{const_cast<Value*>(&value), sizeof(value)};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (fd >= 0) {
      header.msg_control = control;
      header.msg_controllen = sizeof(control);
      cmsghdr* rights = CMSG_FIRSTHDR(&header);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(sizeof(int));
      std::memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
    }
    CHECK(sendmsg(fd_, &header, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof(value)));
  }

  template <typename Value>
  Value receive(int* fd = nullptr) const {
    Value value{};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    iovec part{&value, sizeof(value)};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    CHECK(recvmsg(fd_, &header, MSG_CMSG_CLOEXEC) == static_cast<ssize_t>(sizeof(value)));
    if (fd != nullptr) {
      CHECK(CMSG_FIRSTHDR(&header) != nullptr);
      std::memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof(*fd));
    }
    return value;
  }

  // The other end is gone.
  bool ended() const {
    char byte;
    return recv(fd_, &byte, 1, 0) == 0;
  }
  void close() { ::close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

constexpr int kChildLine = 3;

// This program in another role, in a process of its own.
class Child {
 public:
  explicit Child(const char* role) : Child(role, make_pair()) {}

  Line line;

  void kill() {
    CHECK(::kill(pid_, SIGKILL) == 0);
    CHECK(WIFSIGNALED(wait_status()));
  }
  void succeed() {
    const int status = wait_status();
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  // Ended by this signal, by itself.
  void end_with(int signal) {
    const int status = wait_status();
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == signal);
  }
  pid_t pid() const { return pid_; }

 private:
  static std::pair<int, int> make_pair() {
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    return {ends[0], ends[1]};
  }

  Child(const char* role, std::pair<int, int> ends) : line(ends.first) {
    pid_ = fork();
    CHECK(pid_ >= 0);
    if (pid_ == 0) {
      if (ends.second == kChildLine)
        fcntl(kChildLine, F_SETFD, 0);
      else
        dup2(ends.second, kChildLine);
      execl("/proc/self/exe", "test", role, nullptr);
      _exit(127);
    }
    ::close(ends.second);
  }

  int wait_status() {
    int status = 0;
    CHECK(waitpid(pid_, &status, 0) == pid_);
    return status;
  }

  pid_t pid_;
};
