// Channels that are read before anybody has started them, and what is sent ahead on them, without JavaScript:
// for the sanitizers, and for limits that a test of JavaScript cannot set.
#include "wire/shelf_sender.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <thread>

#include "channel/message.h"
#include "channel/pair.h"
#include "check.h"

namespace {

using namespace cuda_ipc;

const std::string kHello = R"({"fds":0,"type":"hello","protocol":[1]})";
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
  Shelf::Entry entry{version, "c1", {frames.begin(), frames.end()}, {}};
  for (size_t i = 0; i < fds; ++i)
    entry.fds.push_back(std::make_shared<const Fd>(::open("/dev/null", O_RDONLY | O_CLOEXEC)));
  return entry;
}

// The owner's end, attended, and the client's, which reads and writes by itself.
struct Ends {
  explicit Ends(const std::shared_ptr<Shelf>& shelf, const std::string& first = framed(kHello)) {
    int ends[2];
    CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    client = Fd(ends[1]);
    say(first);
    owner = adopt_channel(Fd(ends[0]));
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
  CHECK(shelf->find({"llm", {}, {}, "1", true})->version == "v1");
  CHECK(shelf->find({"llm", "v1", "c1", "1", true}));
  CHECK(!shelf->find({"other", {}, {}, "1", true}) && !shelf->find({"llm", "v2", {}, "1", true}) &&
        !shelf->find({"llm", {}, "c2", "1", true}));
  Shelf::Entry unknown = entry("v1", "frames", 0);
  unknown.checksum.reset();
  shelf->put("llm", std::move(unknown));
  CHECK(shelf->find({"llm", {}, {}, "1", true}) && !shelf->find({"llm", {}, "c1", "1", true}));
}

void an_entry_stays_for_who_holds_it() {
  const size_t before = open_descriptors();
  const auto shelf = shelf_with(entry("v1", "frames", 3));
  auto held = shelf->find({"llm", {}, {}, "1", true});
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
  CHECK(open_descriptors() == before && !shelf->find({"llm", {}, {}, "1", true}));
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
  thrown("ERR_CUDA_IPC_INVALID_STATE", [&] { ends.owner->observe(ends.sender); });
  thrown("ERR_CUDA_IPC_INVALID_STATE", [&] { ends.owner->attend(ends.sender); });
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
        shelf->put("llm", entry("v", "frames", 1));
    }
  });
  for (int round = 0; round < 200; ++round) {
    Ends ends(shelf);
    for (int i = 0; i < 8; ++i) ends.say(attach(std::to_string(i)));
    std::thread closer([&] { round % 2 == 0 ? ends.owner->close() : ends.owner->start([] {}); });
    for (int i = 0; i < 8; ++i) ends.sender->take(std::to_string(i));
    closer.join();
  }
  done = true;
  changer.join();
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
  everything_at_once();
  return 0;
}
