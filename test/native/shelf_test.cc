// Channels that are read before anybody has started them, and what is sent ahead on them, without JavaScript:
// for the sanitizers, and for limits that a test of JavaScript cannot set.
#include "wire/shelf_sender.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <fstream>
#include <future>
#include <thread>

#include "channel/message.h"
#include "channel/pair.h"
#include "check.h"

namespace {

using namespace cuda_ipc;

const std::string kHello = R"({"fds":0,"type":"hello","protocol":[1],"driver":{"provider":"host"}})";
const std::string kDriver = "host";
constexpr int kMostNotes = 16;

std::string framed(const std::string& text) {
  const auto size = static_cast<uint32_t>(text.size());
  std::string frame(sizeof size, '\0');
  std::memcpy(frame.data(), &size, sizeof size);
  return frame + text;
}

std::string attach(const std::string& lease) {
  return framed(R"({"fds":0,"type":"attach","set":"llm","version":null,"checksum":null,"lease":")" + lease +
                R"(","ahead":true})");
}

size_t open_descriptors() {
  size_t count = 0;
  for (int fd = 0; fd < 4096; ++fd) count += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
  return count;
}

Shelf::Entry entry(const std::string& version, const std::string& frames, size_t fds) {
  Shelf::Entry entry{version, "c1", {frames.begin(), frames.end()}, {}, {}};
  for (size_t i = 0; i < fds; ++i)
    entry.fds.push_back(std::make_shared<const Fd>(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
  return entry;
}

Shelf::Entry lent_entry(const std::string& version, const std::string& frames) {
  Shelf::Entry lent = entry(version, frames, 0);
  lent.provider = kDriver;
  return lent;
}

// A process that does nothing.
class Idle {
 public:
  Idle() {
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ == 0) {
      // A test that fails does not end it.
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      while (::getppid() == parent) ::pause();
      std::_Exit(0);
    }
    CHECK(pid_ > 0);
  }
  ~Idle() { end(); }
  Peer as_peer() const {
    Peer peer;
    peer.uid = ::getuid();
    peer.process = open_process(pid_);
    return peer;
  }
  void end() {
    if (pid_ == 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(std::exchange(pid_, 0), nullptr, 0);
  }

 private:
  pid_t pid_ = 0;
};

// The owner's end, attended, and the client's, which reads and writes by itself.
struct Ends {
  // `peer`: in place of this process. `deaf`: the client takes nothing.
  explicit Ends(const std::shared_ptr<Shelf>& shelf, const std::string& first = framed(kHello),
                std::optional<Peer> peer = std::nullopt, bool deaf = false) {
    int ends[2];
    CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    client = Fd(ends[1]);
    say(first);
    CHECK(!deaf || ::shutdown(client.get(), SHUT_RD) == 0);
    owner = peer ? std::make_shared<Channel>(Fd(ends[0]), std::move(*peer)) : adopt_channel(Fd(ends[0]));
    sender = std::make_shared<ShelfSender>(shelf);
    owner->attend(sender);
  }
  ~Ends() { owner->abandon(); }

  void say(const std::string& bytes) const {
    CHECK(::send(client.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(bytes.size()));
  }
  // So many bytes that came, waited for; and the descriptors beside them.
  std::string hear(size_t size) {
    std::string heard;
    uint8_t buffer[1 << 16];
    while (heard.size() < size) {
      pollfd poller{client.get(), POLLIN, 0};
      CHECK(::poll(&poller, 1, 10'000) == 1);
      Received received = receive_message(client.get(), buffer, std::min(sizeof buffer, size - heard.size()));
      CHECK(received.status == Received::Status::kData);
      heard.append(reinterpret_cast<const char*>(buffer), received.size);
      for (Fd& fd : received.fds) fds.push_back(std::move(fd));
    }
    return heard;
  }
  bool hears_nothing() const {
    char byte;
    return ::recv(client.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
  }
  bool hears_the_end() const {
    char byte;
    pollfd poller{client.get(), POLLIN, 0};
    return ::poll(&poller, 1, 10'000) == 1 && ::recv(client.get(), &byte, 1, MSG_DONTWAIT) <= 0;
  }

  Fd client;
  std::vector<Fd> fds;
  std::shared_ptr<Channel> owner;
  std::shared_ptr<ShelfSender> sender;
};

std::shared_ptr<Shelf> shelf_with(Shelf::Entry entry) {
  auto shelf = std::make_shared<Shelf>(std::vector<uid_t>{::getuid()});
  shelf->put("llm", std::move(entry));
  return shelf;
}

void an_entry_is_found_by_what_is_asked_for() {
  const auto shelf = shelf_with(entry("v1", "frames", 0));
  CHECK(shelf->serves(::getuid()) && !shelf->serves(::getuid() + 1));
  CHECK(shelf->find({"llm", {}, {}, "1", true}, {})->entry->version == "v1");
  CHECK(shelf->find({"llm", "v1", "c1", "1", true}, {}));
  CHECK(!shelf->find({"other", {}, {}, "1", true}, kDriver) &&
        !shelf->find({"llm", "v2", {}, "1", true}, kDriver) &&
        !shelf->find({"llm", {}, "c2", "1", true}, kDriver));
  Shelf::Entry unknown = entry("v1", "frames", 0);
  unknown.checksum.reset();
  shelf->put("llm", std::move(unknown));
  CHECK(shelf->find({"llm", {}, {}, "1", true}, {}) && !shelf->find({"llm", {}, "c1", "1", true}, {}));
}

void an_entry_stays_for_who_holds_it() {
  const size_t before = open_descriptors();
  const auto shelf = shelf_with(entry("v1", "frames", 3));
  auto held = shelf->find({"llm", {}, {}, "1", true}, {});
  shelf->put("llm", entry("v2", "frames", 2));
  CHECK(open_descriptors() == before + 5);
  held.reset();
  CHECK(open_descriptors() == before + 2);
  shelf->remove("llm", "v1");
  CHECK(open_descriptors() == before + 2);
  shelf->remove("llm", "v2");
  shelf->remove("llm", "v2");
  CHECK(open_descriptors() == before);
  shelf->put("llm", entry("v3", "frames", 1));
  shelf->clear();
  CHECK(open_descriptors() == before && !shelf->find({"llm", {}, {}, "1", true}, {}));
}

void what_was_sent_is_noted_once() {
  const size_t before = open_descriptors();
  {
    const auto shelf = shelf_with(entry("v1", "frames", 2));
    Ends ends(shelf, framed(kHello) + attach("a"));  // there before anybody attends
    CHECK(ends.hear(6) == "frames" && ends.fds.size() == 2);
    ends.say(attach("b"));  // for the reactor
    CHECK(ends.hear(6) == "frames" && ends.fds.size() == 4);
    CHECK(ends.sender->take("a") == "v1" && !ends.sender->take("a") && ends.sender->take("b") == "v1");
    shelf->clear();  // the reactor may hold the channel, and what that holds, a moment longer
  }
  CHECK(open_descriptors() <= before + 2);  // the reactor's own
}

void notes_have_a_limit() {
  const auto shelf = shelf_with(entry("v1", "frames", 0));
  std::string first = framed(kHello);
  for (int i = 0; i <= kMostNotes; ++i) first += attach(std::to_string(i));
  Ends ends(shelf, first);
  ends.hear(6 * kMostNotes);
  CHECK(ends.hears_nothing() && !ends.sender->take(std::to_string(kMostNotes)));
  CHECK(ends.sender->take("3") == "v1");
  // The same lease has a note already; and a new one has room now.
  ends.say(attach("0") + attach("new"));
  ends.hear(6);
  ends.owner->start([] {});
  CHECK(ends.sender->take("new") == "v1" && ends.hears_nothing());
}

// So many bytes that the kernel takes nothing more, with the outbox empty.
size_t fill(int socket) {
  const std::vector<uint8_t> zeros(1 << 16);
  size_t total = 0;
  for (size_t size = zeros.size(); size != 0; size /= 2)
    for (ssize_t sent; (sent = ::send(socket, zeros.data(), size, MSG_DONTWAIT)) > 0;)
      total += static_cast<size_t>(sent);
  CHECK(errno == EAGAIN);
  return total;
}

void what_the_kernel_does_not_take_is_queued() {
  const auto shelf = shelf_with(entry("v1", "frames", 2));
  Ends ends(shelf);
  const size_t zeros = fill(ends.owner->fd());
  ends.say(attach("a") + attach("b"));
  ends.owner->start([] {});  // it reads, if the reactor has not
  CHECK(ends.owner->queued_bytes() == 6);
  CHECK(ends.sender->take("a") == "v1");
  CHECK(!ends.sender->take("b"));  // for it something else would have to wait
  CHECK(!ends.owner->send(reinterpret_cast<const uint8_t*>("reply"), 5, {}));
  CHECK(ends.hear(zeros + 11).substr(zeros) == "framesreply" && ends.fds.size() == 2);
}

void without_descriptors_nothing_is_noted() {
  const auto shelf = shelf_with(entry("v1", "frames", 2));
  Ends ends(shelf);
  fill(ends.owner->fd());
  rlimit limit;
  CHECK(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const rlimit none{3, limit.rlim_max};
  CHECK(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  ends.say(attach("a"));
  ends.owner->start([] {});
  CHECK(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  CHECK(!ends.sender->take("a") && ends.owner->queued_bytes() == 0);
}

void a_paused_channel_sends_nothing_ahead() {
  const auto shelf = shelf_with(entry("v1", "frames", 0));
  Ends ends(shelf);
  ends.owner->pause();
  ends.say(attach("a"));
  ends.owner->start([] {});
  CHECK(!ends.sender->take("a") && ends.hears_nothing());
  ends.owner->resume();
  ends.hear(6);
  CHECK(ends.sender->take("a") == "v1");
}

// What has come before somebody takes it, in order, and the end.
void what_arrives_is_kept_for_whoever_starts() {
  const auto shelf = shelf_with(entry("v1", "frames", 0));
  Ends ends(shelf);
  ends.say(attach("a"));
  ends.hear(6);
  const Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int files[] = {file.get(), file.get()};
  CHECK(send_message(ends.client.get(), reinterpret_cast<const uint8_t*>("x"), 1, files, 2) == 1);
  ends.client.reset();
  std::mutex mutex;
  std::condition_variable changed;
  int wakes = 0;
  ends.owner->start([&] {
    std::lock_guard<std::mutex> lock(mutex);
    ++wakes;
    changed.notify_one();
  });
  std::string bytes;
  size_t fds = 0;
  for (bool open = true; open;) {
    {
      std::unique_lock<std::mutex> lock(mutex);
      changed.wait(lock, [&] { return wakes != 0; });
      --wakes;
    }
    if (auto event = ends.owner->next()) {
      if (auto* data = std::get_if<Channel::Data>(&*event)) {
        bytes.append(data->bytes.begin(), data->bytes.end());
        fds += data->fds.size();
      }
      open = !std::holds_alternative<Channel::Closed>(*event);
    }
    if (open) ends.owner->wake_for_more();
  }
  CHECK(bytes == framed(kHello) + attach("a") + "x" && fds == 2);
}

// As an error is known, and told, only to whoever has started.
void the_end_before_a_start_is_no_close() {
  const auto shelf = shelf_with(entry("v1", "frames", 0));
  for (const bool closed : {false, true}) {
    auto [owner, client] = make_channel_pair();
    CHECK(owner->send(reinterpret_cast<const uint8_t*>("unread"), 6, {}));
    client.reset();
    owner->attend(std::make_shared<ShelfSender>(shelf));
    CHECK(owner->fd() < 0 && !owner->finished() && owner->open_peer().proven());
    if (closed) owner->close();
    CHECK(owner->finished() == closed);
    if (closed) thrown("ERR_CUDA_IPC_CLOSED", [&] { owner->open_peer(); });
    int wakes = 0;
    owner->start([&] { ++wakes; });
    const std::optional<Channel::Event> event = owner->next();
    CHECK(wakes == 1 && event && std::get<Channel::Closed>(*event).error && owner->finished());
  }
}

void whatever_lets_go_of_an_unstarted_channel_leaves_nothing() {
  const auto shelf = shelf_with(entry("v1", "frames", 0));
  const size_t before = open_descriptors();
  for (const bool closed : {true, false}) {
    Ends ends(shelf);
    const Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const std::string request = attach("a");
    const int fd = file.get();
    CHECK(send_message(ends.client.get(), reinterpret_cast<const uint8_t*>(request.data()), request.size(),
                       &fd, 1) == static_cast<ssize_t>(request.size()));
    ends.hear(6);  // it has been received, and the descriptor waits
    closed ? ends.owner->close() : ends.owner->abandon();
    CHECK(ends.hears_the_end());
    CHECK(open_descriptors() == before + 2);  // the client's end and the file: also while the channel is held
  }
  CHECK(open_descriptors() == before);
}

void observers_come_before_anything_is_read() {
  const auto shelf = shelf_with(entry("v1", "frames", 0));
  Ends ends(shelf);
  CHECK(ends.owner->observer() == ends.sender);
  thrown("ERR_CUDA_IPC_INVALID_STATE", [&] { ends.owner->attend(ends.sender); });
}

bool sleeps(pid_t thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
  std::string stat;
  std::getline(file, stat);
  return stat.substr(stat.rfind(')') + 2, 1) == "S";
}

// Whoever is told of a channel may be faster than who is to attend it.
void a_start_waits_for_who_attends() {
  const auto shelf = shelf_with(entry("v1", "frames", 0));
  auto [owner, client] = make_channel_pair();
  const std::string request = framed(kHello) + attach("a");
  CHECK(::send(client.get(), request.data(), request.size(), MSG_NOSIGNAL) ==
        static_cast<ssize_t>(request.size()));
  owner->expect_attendant();
  std::promise<pid_t> thread;
  std::atomic<bool> started{false};
  std::thread starter([&, owner = owner] {
    thread.set_value(::gettid());
    owner->start([] {});
    started = true;
  });
  const pid_t id = thread.get_future().get();
  while (!started && !sleeps(id)) std::this_thread::yield();
  CHECK(!started);
  const auto sender = std::make_shared<ShelfSender>(shelf);
  owner->attend(sender);
  starter.join();
  CHECK(started && sender->take("a") == "v1");
  owner->abandon();
}

// Tells whether that version is on loan, and then when it is not any more.
struct Returned {
  explicit Returned(const std::shared_ptr<Shelf>& shelf, const std::string& version = "v1")
      : out(shelf->loans().when_returned(version, [told = told] { told->set_value(); })) {}
  bool yet() const { return future.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }
  bool at_last() const { return future.wait_for(std::chrono::seconds(10)) == std::future_status::ready; }

  std::shared_ptr<std::promise<void>> told = std::make_shared<std::promise<void>>();
  std::future<void> future = told->get_future();
  bool out;
};

void what_is_lent_stays_out_until_it_is_given_back() {
  const auto shelf = shelf_with(lent_entry("v1", "frames"));
  CHECK(!Returned(shelf).out);
  CHECK(!shelf->find({"llm", {}, {}, "1", true}, {}) && !Returned(shelf).out);
  std::optional<Shelf::Found> found = shelf->find({"llm", {}, {}, "1", true}, kDriver);
  shelf->remove("llm", "v1");
  const Returned first(shelf);
  const Returned second(shelf);
  CHECK(first.out && second.out && !Returned(shelf, "v2").out);
  CHECK(!shelf->find({"llm", {}, {}, "1", true}, kDriver));
  // As a note does it.
  std::optional<Loans::Loan> loan = std::move(found->loan);
  found.reset();
  CHECK(!first.yet());
  loan.reset();
  CHECK(first.yet() && second.yet() && !Returned(shelf).out);
}

void what_has_gone_ahead_is_out_whoever_has_taken_it() {
  const auto shelf = shelf_with(lent_entry("v1", "frames"));
  Ends ends(shelf, framed(kHello) + attach("a") + attach("b") + attach("a"));
  CHECK(ends.hear(12) == "framesframes" && ends.hears_nothing());
  CHECK(ends.sender->untaken() == std::vector<std::string>({"a", "b"}));
  CHECK(ends.sender->take("a") == "v1" && !ends.sender->take("a"));
  CHECK(ends.sender->untaken() == std::vector<std::string>({"b"}));
  const Returned returned(shelf);
  ends.sender->give_back("b");
  ends.sender->give_back("b");
  ends.sender->give_back("other");
  CHECK(returned.out && !returned.yet() && ends.sender->untaken().empty());
  ends.sender->give_back("a");
  CHECK(returned.yet());
  // Its lease has no note any more.
  ends.say(attach("a"));
  ends.hear(6);
  ends.sender->give_back("a");
}

void what_is_out_counts_as_a_note() {
  const auto shelf = shelf_with(lent_entry("v1", "frames"));
  std::string first = framed(kHello);
  for (int i = 0; i < kMostNotes; ++i) first += attach(std::to_string(i));
  Ends ends(shelf, first);
  ends.hear(6 * kMostNotes);
  for (int i = 0; i < kMostNotes; ++i) CHECK(ends.sender->take(std::to_string(i)));
  ends.say(attach("more"));
  ends.owner->start([] {});
  CHECK(ends.hears_nothing() && !ends.sender->take("more"));
  for (int i = 0; i < kMostNotes; ++i) ends.sender->give_back(std::to_string(i));
  CHECK(!Returned(shelf).out);
}

void what_could_not_be_sent_is_not_out() {
  const auto shelf = shelf_with(lent_entry("v1", "frames"));
  Ends ends(shelf);
  fill(ends.owner->fd());
  ends.say(attach("a") + attach("b"));  // the first is queued, and so the other is not sent
  ends.owner->start([] {});
  CHECK(ends.sender->untaken() == std::vector<std::string>({"a"}));
  ends.sender->give_back("a");
  CHECK(!Returned(shelf).out);
}

// Some of it may have arrived.
void what_the_connection_failed_in_is_out() {
  const auto shelf = shelf_with(lent_entry("v1", "frames"));
  Ends ends(shelf, framed(kHello) + attach("a"), std::nullopt, /*deaf=*/true);
  CHECK(ends.sender->untaken() == std::vector<std::string>({"a"}) && Returned(shelf).out);
  ends.sender->give_back("a");
}

void nothing_is_lent_to_whoever_is_refused_for_his_hello() {
  const auto shelf = shelf_with(lent_entry("v1", "frames"));
  for (const std::string hello :
       {R"({"fds":0,"type":"hello","protocol":[1],"driver":{"provider":"libcuda"}})",
        R"({"fds":0,"type":"hello","protocol":[2],"driver":{"provider":"host"}})",
        R"({"fds":0,"type":"hello","protocol":[1]})"}) {
    Ends ends(shelf, framed(hello) + attach("a"));
    ends.owner->start([] {});
    CHECK(ends.hears_nothing() && !ends.sender->take("a") && !Returned(shelf).out);
  }
}

void nothing_is_lent_to_a_peer_whose_death_cannot_be_proven() {
  const auto shelf = shelf_with(lent_entry("v1", "frames"));
  Peer peer;
  peer.uid = ::getuid();
  peer.process.pid = ::getpid();
  Ends ends(shelf, framed(kHello) + attach("a"), std::move(peer));
  ends.owner->start([] {});
  CHECK(ends.hears_nothing() && !ends.sender->take("a") && !Returned(shelf).out);
  shelf->put("llm", entry("v2", "frames", 0));
  ends.say(attach("b"));
  ends.hear(6);
}

// Whoever was to give it back, and whether the channel, and all that had to do with it, is there still.
void what_is_out_comes_back_with_the_death_of_the_process_alone() {
  for (const bool held : {true, false}) {
    const size_t before = open_descriptors();
    const auto shelf = shelf_with(lent_entry("v1", "frames"));
    Idle process;
    std::optional<Ends> ends(std::in_place, shelf, framed(kHello) + attach("a"), process.as_peer());
    ends->hear(6);
    const Returned returned(shelf);
    ends->owner->close();
    if (!held) ends.reset();
    CHECK(returned.out && !returned.yet());
    process.end();
    CHECK(returned.at_last());
    if (held) CHECK(ends->sender->untaken().empty());
    ends.reset();
    CHECK(open_descriptors() <= before + 2);  // the reactor's own
  }
}

void nobody_is_watched_who_has_given_back() {
  for (const bool later : {true, false}) {
    const auto shelf = shelf_with(lent_entry("v1", "frames"));
    Idle process;
    Ends ends(shelf, framed(kHello) + attach("a"), process.as_peer());
    ends.hear(6);
    if (!later) ends.sender->give_back("a");
    const size_t before = open_descriptors();
    ends.owner->close();
    // The socket and what the process is known by, or that is kept.
    CHECK(open_descriptors() == before - (later ? 1 : 2));
    ends.sender->give_back("a");
    CHECK(open_descriptors() == before - 2 && !Returned(shelf).out);
  }
}

// Nobody would ever hear of its death.
void what_is_out_where_nobody_is_watched_is_never_back() {
  const auto shelf = shelf_with(lent_entry("v1", "frames"));
  auto sender = std::make_shared<ShelfSender>(shelf);
  Idle process;
  const Peer peer = process.as_peer();
  sender->meets(peer.process);
  const std::string bytes = framed(kHello) + attach("a");
  sender->received({{bytes.begin(), bytes.end()}, {}}, [](auto...) { return true; });
  CHECK(sender->untaken().size() == 1);
  sender.reset();
  CHECK(Returned(shelf).out);
}

// A shelf that changes all the time, and channels that come and go.
void everything_at_once() {
  const auto shelf = shelf_with(entry("v", "frames", 1));
  std::atomic<bool> done{false};
  std::thread changer([&] {
    for (int i = 0; !done; ++i) {
      if (i % 3 == 0)
        shelf->clear();
      else
        shelf->put("llm", i % 3 == 1 ? entry("v", "frames", 1) : lent_entry("v", "frames"));
    }
  });
  for (int round = 0; round < 200; ++round) {
    Ends ends(shelf);
    for (int i = 0; i < 8; ++i) ends.say(attach(std::to_string(i)));
    std::thread closer([&] { round % 2 == 0 ? ends.owner->close() : ends.owner->start([] {}); });
    for (int i = 0; i < 8; ++i) {
      if (i % 2 == 0) ends.sender->take(std::to_string(i));
      ends.sender->give_back(std::to_string(i));
    }
    closer.join();
    ends.owner->abandon();
    for (const std::string& lease : ends.sender->untaken()) ends.sender->give_back(lease);
    for (int i = 0; i < 8; ++i) ends.sender->give_back(std::to_string(i));
  }
  done = true;
  changer.join();
  CHECK(!Returned(shelf, "v").out);
}

}  // namespace

int main() {
  an_entry_is_found_by_what_is_asked_for();
  an_entry_stays_for_who_holds_it();
  what_was_sent_is_noted_once();
  notes_have_a_limit();
  what_the_kernel_does_not_take_is_queued();
  without_descriptors_nothing_is_noted();
  a_paused_channel_sends_nothing_ahead();
  what_arrives_is_kept_for_whoever_starts();
  the_end_before_a_start_is_no_close();
  whatever_lets_go_of_an_unstarted_channel_leaves_nothing();
  observers_come_before_anything_is_read();
  a_start_waits_for_who_attends();
  what_is_lent_stays_out_until_it_is_given_back();
  what_has_gone_ahead_is_out_whoever_has_taken_it();
  what_is_out_counts_as_a_note();
  what_could_not_be_sent_is_not_out();
  what_the_connection_failed_in_is_out();
  nothing_is_lent_to_whoever_is_refused_for_his_hello();
  nothing_is_lent_to_a_peer_whose_death_cannot_be_proven();
  what_is_out_comes_back_with_the_death_of_the_process_alone();
  nobody_is_watched_who_has_given_back();
  what_is_out_where_nobody_is_watched_is_never_back();
  everything_at_once();
  return 0;
}
