#include "channel/proc.h"

#include "channel/errors.h"
#include "memory/fd.h"

namespace cuda_ipc {

namespace {

std::string read_proc(pid_t pid, const char* name) {
  const std::string path = "/proc/" + std::to_string(pid) + "/" + name;
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) {
    if (is_fd_limit(errno)) throw channel_error(errno, "reading " + path);
    return "";
  }
  char text[2048];  // both files are shorter: one read is a consistent picture
  const ssize_t size = ::read(file.get(), text, sizeof text);
  return size > 0 ? std::string(text, static_cast<size_t>(size)) : "";
}

}  // namespace

std::string start_time_of(pid_t pid) {
  const std::string stat = read_proc(pid, "stat");
  // The second field is the command in parentheses, and may hold spaces and parentheses itself.
  size_t at = stat.rfind(')');
  for (int field = 2; at != std::string::npos && field < 22; ++field) at = stat.find(' ', at + 1);
  if (at == std::string::npos) return "";
  const size_t end = stat.find(' ', at + 1);
  return stat.substr(at + 1, end - at - 1);
}

std::string command_of(pid_t pid) {
  std::string command = read_proc(pid, "comm");
  if (!command.empty() && command.back() == '\n') command.pop_back();
  return command;
}

}  // namespace cuda_ipc
