#include "channel/proc.h"

#include "channel/errors.h"
#include "memory/fd.h"

namespace cuda_ipc {

namespace {

std::string read_stat(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) {
    if (is_fd_limit(errno)) throw channel_error(errno, "reading " + path);
    return "";
  }
  char text[2048];  // it is shorter: one read is a consistent picture
  const ssize_t size = ::read(file.get(), text, sizeof text);
  return size > 0 ? std::string(text, static_cast<size_t>(size)) : "";
}

}  // namespace

ProcessFacts facts_of(pid_t pid) {
  const std::string stat = read_stat(pid);
  // The second field is the command in parentheses, and may hold spaces and parentheses itself.
  const size_t open = stat.find('(');
  const size_t close = stat.rfind(')');
  size_t at = close;
  for (int field = 2; at != std::string::npos && field < 22; ++field) at = stat.find(' ', at + 1);
  if (open == std::string::npos || at == std::string::npos) return {};
  const size_t end = stat.find(' ', at + 1);
  return {stat.substr(at + 1, end - at - 1), stat.substr(open + 1, close - open - 1)};
}

}  // namespace cuda_ipc
