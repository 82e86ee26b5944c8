// The floor: what the raw driver calls behind an attach cost, in a program with nothing else in it.
//
//   floor serve DRIVER SHARING BYTES DEVICE
//
// starts an exporter, prints {"event":"ready"}, and then takes commands on standard input:
//
//   attach REPEATS RESTED MS  a fresh importer brings CUDA up, then imports once ("first"), REPEATS times
//                             more, and RESTED times when it has done nothing for so many milliseconds
//   ask REPEATS RESTED MS     the same, but each time it asks the exporter over a socket first, and the time
//                             runs from then on; it connects when it asks first
//   start                     a fresh importer goes from its start to its first kernel on the memory
//
// Each sample is one JSON line; {"event":"done"} follows the last of a command. Times are in milliseconds.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include <chrono>
#include <iostream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "clock.h"
#include "floor/desk.h"
#include "floor/exporter.h"
#include "floor/first_kernel.h"
#include "floor/importer.h"
#include "floor/ticket.h"

extern char** environ;

namespace floor_program {

constexpr int kSocket = 3;  // where a role finds its end of the socketpair

struct Job {
  std::string driver, sharing;
  size_t bytes;
  int device;
};

void report(const Job& job, const char* kind, int64_t begin, const Import& it, double detach) {
  std::printf("{\"sharing\":\"%s\",\"kind\":\"%s\",\"milliseconds\":%.6f", job.sharing.c_str(), kind,
              peers::milliseconds(begin, it.end));
  if (it.mapped != 0)
    std::printf(",\"parts\":{\"import\":%.6f,\"reserve\":%.6f,\"map\":%.6f,\"access\":%.6f}",
                peers::milliseconds(it.begin, it.imported), peers::milliseconds(it.imported, it.reserved),
                peers::milliseconds(it.reserved, it.mapped), peers::milliseconds(it.mapped, it.end));
  std::printf(",\"detach\":%.6f}\n", detach);
}

int run_exporter(const Job& job) {
  const cu::Table& cuda = choose(job.driver);
  FLOOR_CHECK(cuda, cuInit(0));
  const cu::CUdevice device = bring_up_context(cuda, job.device);
  const Ticket ticket =
      job.sharing == "vmm" ? export_vmm(cuda, device, job.bytes) : export_ipc(cuda, job.bytes);
  FLOOR_CHECK(cuda, cuCtxSynchronize());
  send_ticket(kSocket, ticket);
  answer_requests(kSocket, ticket);  // until end-of-file: the memory is not needed any more
  return 0;
}

class Importer {
 public:
  // `desk`: null where the ticket that is at hand already is used each time.
  Importer(const Job& job, const cu::Table& cuda, cu::CUdevice device, const Ticket& ticket, Desk* desk)
      : job_(job), cuda_(cuda), device_(device), ticket_(ticket), desk_(desk) {}

  void import_once(const char* kind) {
    const int64_t asking = peers::now();
    const Ticket ticket = desk_ != nullptr ? desk_->ask() : ticket_;
    const Import it = import_slab(cuda_, device_, ticket);
    verify(cuda_, ticket, it);
    const int64_t detaching = peers::now();
    undo(cuda_, ticket, it);
    const double detach = peers::milliseconds(detaching, peers::now());
    report(job_, kind, desk_ != nullptr ? asking : it.begin, it, detach);
    if (desk_ != nullptr && ticket.fd >= 0) ::close(ticket.fd);
  }

 private:
  const Job& job_;
  const cu::Table& cuda_;
  const cu::CUdevice device_;
  const Ticket ticket_;
  Desk* const desk_;
};

struct Rounds {
  int repeats, rested;
  std::chrono::milliseconds rest;
};

// `exporter`: whom to ask; 0 for nobody.
int run_importer(const Job& job, const Rounds& rounds, pid_t exporter) {
  const cu::Table& cuda = choose(job.driver);
  FLOOR_CHECK(cuda, cuInit(0));
  const cu::CUdevice device = bring_up_context(cuda, job.device);
  send_token(kSocket);
  const Ticket ticket = receive_ticket(kSocket);
  Desk desk(exporter);
  Importer importer(job, cuda, device, ticket, exporter != 0 ? &desk : nullptr);
  for (int i = 0; i <= rounds.repeats; ++i) importer.import_once(i == 0 ? "first" : "repeated");
  for (int i = 0; i < rounds.rested; ++i) {
    std::this_thread::sleep_for(rounds.rest);
    importer.import_once("rested");
  }
  return 0;
}

int run_starter(const Job& job, int64_t started) {
  const int64_t entered = peers::now();
  const cu::Table& cuda = choose(job.driver);
  FLOOR_CHECK(cuda, cuInit(0));
  const int64_t initialized = peers::now();
  const cu::CUdevice device = bring_up_context(cuda, job.device);
  const int64_t context = peers::now();
  const Ticket ticket = receive_ticket(kSocket);
  const Import it = import_slab(cuda, device, ticket);
  const FirstKernel kernel = run_first_kernel(cuda, it.pointer);
  std::printf(
      "{\"sharing\":\"%s\",\"kind\":\"start\",\"milliseconds\":%.6f,\"parts\":{\"exec\":%.6f,\"cuInit\":%.6f,"
      "\"context\":%.6f,\"import\":%.6f,\"module\":%.6f,\"kernel\":%.6f}}\n",
      job.sharing.c_str(), peers::milliseconds(started, kernel.done), peers::milliseconds(started, entered),
      peers::milliseconds(entered, initialized), peers::milliseconds(initialized, context),
      peers::milliseconds(context, it.end), peers::milliseconds(it.end, kernel.loaded),
      peers::milliseconds(kernel.loaded, kernel.done));
  return 0;
}

// This program again, in another role: CUDA does not survive a fork without exec.
struct Child {
  pid_t pid;
  int socket;
};

Child start_role(const Job& job, const std::string& role, const std::vector<std::string>& more = {}) {
  int ends[2];
  require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  // dup2 onto itself would leave the descriptor close-on-exec: move it out of the way first.
  const int given = ::fcntl(ends[1], F_DUPFD_CLOEXEC, kSocket + 1);
  require(given >= 0, "fcntl");
  ::posix_spawn_file_actions_adddup2(&actions, given, kSocket);
  std::vector<std::string> words = {
      "floor", role, job.driver, job.sharing, std::to_string(job.bytes), std::to_string(job.device)};
  words.insert(words.end(), more.begin(), more.end());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t pid;
  require(::posix_spawn(&pid, "/proc/self/exe", &actions, nullptr, arguments.data(), environ) == 0,
          "posix_spawn");
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(given);
  ::close(ends[1]);
  return {pid, ends[0]};
}

void finish(const Child& child, const char* role) {
  ::close(child.socket);
  int status;
  require(::waitpid(child.pid, &status, 0) == child.pid, "waitpid");
  if (status == 0) return;
  std::fprintf(stderr, "floor: the %s failed\n", role);
  std::exit(1);
}

void say(const char* event) {
  std::printf("{\"event\":\"%s\"}\n", event);
  std::fflush(stdout);
}

int serve(const Job& job) {
  const Child exporter = start_role(job, "exporter");
  const Ticket ticket = receive_ticket(exporter.socket);
  require(receive_token(exporter.socket), "the exporter");
  say("ready");
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string command, repeats, rested, milliseconds;
    words >> command >> repeats >> rested >> milliseconds;
    if (command == "attach" || command == "ask") {
      const std::string asked = std::to_string(command == "ask" ? exporter.pid : 0);
      const Child importer = start_role(job, "importer", {repeats, rested, milliseconds, asked});
      if (receive_token(importer.socket)) send_ticket(importer.socket, ticket);
      finish(importer, "importer");
    } else if (command == "start") {
      const Child starter = start_role(job, "starter", {std::to_string(peers::now())});
      send_ticket(starter.socket, ticket);
      finish(starter, "starter");
    } else {
      std::fprintf(stderr, "floor: expected attach, ask or start, but received %s\n", line.c_str());
      return 2;
    }
    say("done");
  }
  finish(exporter, "exporter");
  return 0;
}

}  // namespace floor_program

int main(int count, char** words) {
  using namespace floor_program;
  const std::string role = count > 5 ? words[1] : "";
  if (role.empty()) {
    std::fprintf(stderr, "usage: floor serve DRIVER SHARING BYTES DEVICE\n");
    return 2;
  }
  const Job job{words[2], words[3], std::stoull(words[4]), std::stoi(words[5])};
  if (role == "serve") return serve(job);
  if (role == "exporter") return run_exporter(job);
  if (role == "importer" && count > 9) {
    const std::chrono::milliseconds rest(std::stoi(words[8]));
    return run_importer(job, {std::stoi(words[6]), std::stoi(words[7]), rest}, std::stoi(words[9]));
  }
  if (role == "starter" && count > 6) return run_starter(job, std::stoll(words[6]));
  return 2;
}
