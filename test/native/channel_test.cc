// The channel without JavaScript, for the sanitizers: threads that send, receive, pause and close at once,
// the kernel's limit on descriptors in flight, and watches on processes that die.
#include "channel/channel.h"

#include <grp.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <thread>

#include "channel/bind.h"
#include "channel/connect.h"
#include "channel/listener.h"
#include "channel/message.h"
#include "channel/pair.h"
#include "channel/process_watch.h"
#include "check.h"

namespace {

using namespace cuda_ipc;

// Takes a channel's events on a thread of its own, as the event loop does.
class Consumer {
 public:
  explicit Consumer(std::shared_ptr<Channel> channel) : channel_(std::move(channel)) {
    channel_->start([this] {
      std::lock_guard<std::mutex> lock(mutex_);
      ++wakes_;
      changed_.notify_all();
    });
    thread_ = std::thread([this] { run(); });
  }
  ~Consumer() {
    thread_.join();
    channel_->abandon();
  }

  template <class Condition>
  void wait(Condition condition) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, condition);
  }
  // Under wait() only.
  size_t bytes = 0;
  size_t fds = 0;
  size_t drains = 0;
  size_t closes = 0;
  unsigned sum = 0;

 private:
  void run() {
    bool open = true;
    while (open) {
      {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [this] { return wakes_ != 0; });
        --wakes_;
      }
      if (std::optional<Channel::Event> event = channel_->next()) {
        std::lock_guard<std::mutex> lock(mutex_);
        open = note(*event);
        changed_.notify_all();
      }
      if (open) channel_->wake_for_more();
    }
  }

  bool note(const Channel::Event& event) {
    if (std::holds_alternative<Channel::Closed>(event)) ++closes;
    if (std::holds_alternative<Channel::Drained>(event)) ++drains;
    if (auto* data = std::get_if<Channel::Data>(&event)) {
      bytes += data->bytes.size();
      fds += data->fds.size();
      for (const uint8_t byte : data->bytes) sum += byte;
    }
    return closes == 0;
  }

  std::shared_ptr<Channel> channel_;
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t wakes_ = 0;
  std::thread thread_;
};

std::pair<std::shared_ptr<Channel>, std::shared_ptr<Channel>> channel_pair() {
  int ends[2];
  CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
  const auto channel = [](int end) {
    Peer peer = read_peer(end);
    CHECK(peer.process.pid == ::getpid() && peer.process.proven());
    describe_peer(peer);
    CHECK(!peer.process.start_time.empty() && !peer.command.empty());
    return std::make_shared<Channel>(Fd(end), std::move(peer));
  };
  return {channel(ends[0]), channel(ends[1])};
}

void traffic_with_pauses_and_descriptors() {
  auto [near, far] = channel_pair();
  {
    Consumer sent(near), received(far);
    std::atomic<bool> done{false};
    std::thread pauser([&far = far, &done] {
      while (!done) {
        far->pause();
        std::this_thread::yield();
        far->resume();
      }
    });
    const Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    std::vector<uint8_t> block(30'000);
    unsigned sum = 0;
    for (int i = 0; i < 300; ++i) {
      block.assign(block.size(), static_cast<uint8_t>(i));
      sum += static_cast<uint8_t>(i) * static_cast<unsigned>(block.size());
      size_t drains = 0;
      sent.wait([&] {
        drains = sent.drains;
        return true;
      });
      if (!near->send(block.data(), block.size(), std::vector<int>(i % 7, file.get())))
        sent.wait([&] { return sent.drains > drains; });
    }
    received.wait([&] { return received.bytes == 300 * block.size(); });
    done = true;
    pauser.join();
    CHECK(received.sum == sum);
    CHECK(received.fds == 300 / 7 * 21 + (0 + 1 + 2 + 3 + 4 + 5));
    CHECK(near->queued_bytes() == 0);
    near->close();
    sent.wait([&] { return sent.closes == 1; });
    received.wait([&] { return received.closes == 1; });
  }
}

void closing_in_the_middle() {
  for (int i = 0; i < 50; ++i) {
    auto [near, far] = channel_pair();
    Consumer sent(near), received(far);
    std::thread sender([&near = near] {
      const std::vector<uint8_t> block(10'000);
      try {
        for (int n = 0; n < 1000; ++n) near->send(block.data(), block.size(), {});
      } catch (const Error& error) {
        CHECK(error.code() == "ERR_CUDA_IPC_CLOSED");
      }
    });
    (i % 2 == 0 ? near : far)->close();
    sender.join();
    near->close();
    sent.wait([&] { return sent.closes == 1; });
    received.wait([&] { return received.closes == 1; });
  }
}

// Behind all that was sent, and never into the middle of it.
void last_words() {
  const std::vector<uint8_t> words(10, 1);
  for (const bool queued : {false, true}) {
    auto [near, far] = channel_pair();
    const std::vector<uint8_t> zeros(queued ? 8 << 20 : 100);
    CHECK(near->send(zeros.data(), zeros.size(), {}) != queued);
    near->abandon(words);
    near->abandon(words);
    Consumer received(far);
    received.wait([&] { return received.closes == 1; });
    CHECK(received.sum == (queued ? 0 : words.size()));
    CHECK(queued ? received.bytes < zeros.size() : received.bytes == zeros.size() + words.size());
  }
}

void turn_on(int socket, int option) {
  const int on = 1;
  CHECK(::setsockopt(socket, SOL_SOCKET, option, &on, sizeof on) == 0 || errno == ENOPROTOOPT);
}

size_t open_descriptors() {
  size_t count = 0;
  for (int fd = 0; fd < 4096; ++fd) count += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
  return count;
}

// A service manager may have set its socket so, and what a listening socket accepts is as it is.
void senders_facts_beside_every_message() {
  const std::string path = "/tmp/cuda-ipc-channel-test-facts-" + std::to_string(::getpid());
  Fd listening = listen_at(path, 0600, 2);
  for (const int option : {SO_PASSCRED, 76 /* SO_PASSPIDFD */}) turn_on(listening.get(), option);
  std::mutex mutex;
  std::condition_variable changed;
  std::shared_ptr<Channel> accepted;
  const auto listener = Listener::adopt(std::move(listening), true,
                                        {[&](std::shared_ptr<Channel> channel) {
                                           std::lock_guard<std::mutex> lock(mutex);
                                           accepted = std::move(channel);
                                           changed.notify_all();
                                         },
                                         [](const Error&) { CHECK(false); }});
  const std::shared_ptr<Channel> near = try_connect(path);
  std::unique_lock<std::mutex> lock(mutex);
  changed.wait(lock, [&] { return accepted != nullptr; });
  lock.unlock();

  int ends[2];
  CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
  for (const int option : {SO_PASSCRED, 76 /* SO_PASSPIDFD */}) turn_on(ends[0], option);
  const std::shared_ptr<Channel> inherited = adopt_channel(Fd(ends[0]));
  const std::shared_ptr<Channel> other = adopt_channel(Fd(ends[1]));

  const Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const std::vector<int> files(kMostFdsPerMessage, file.get());
  const std::pair<std::shared_ptr<Channel>, std::shared_ptr<Channel>> pairs[] = {{near, accepted},
                                                                                 {other, inherited}};
  for (const auto& [from, to] : pairs) {
    const size_t before = open_descriptors();
    Consumer received(to);
    const uint8_t byte = 1;
    CHECK(from->send(&byte, 1, files));
    received.wait([&] { return received.fds == files.size() || received.closes == 1; });
    CHECK(received.fds == files.size());  // and they have been closed by now, or are about to be
    CHECK(from->send(&byte, 1, {}));
    received.wait([&] { return received.bytes == 2; });
    CHECK(open_descriptors() <= before);
    from->close();
    received.wait([&] { return received.closes == 1; });
  }
  listener->close();
  ::unlink(path.c_str());
}

void only_streams_are_adopted() {
  Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const sockaddr_un any{AF_UNIX, {}};  // the kernel gives it an abstract name
  CHECK(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any.sun_family) == 0);
  CHECK(::listen(socket.get(), 1) == 0);
  thrown("ERR_CUDA_IPC_INVALID_ARGUMENT", [&] { Listener::adopt(std::move(socket), false, {}); });
}

// As an ordinary user with a low limit: ETOOMANYREFS, which is backpressure. In a child, to lower nothing
// here.
void too_many_descriptors_in_flight() {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::geteuid() == 0) CHECK(::setgroups(0, nullptr) == 0 && ::setgid(65534) == 0 && ::setuid(65534) == 0);
    auto [near, far] = channel_pair();
    Consumer sent(near);
    const Fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const uint8_t byte = 1;
    const rlimit limit{600, 600};
    CHECK(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
    // More in flight than the limit before anybody reads, and at no time as many open.
    for (int i = 0; i < 40; ++i) near->send(&byte, 1, std::vector<int>(20, file.get()));
    CHECK(near->queued_bytes() != 0);
    {
      Consumer received(far);
      received.wait([&] { return received.bytes == 40; });
      received.wait([&] { return received.fds == 800; });
      sent.wait([&] { return sent.drains == 1; });
      near->close();
    }
    sent.wait([&] { return sent.closes == 1; });
    std::_Exit(0);
  }
  int status = 0;
  CHECK(::waitpid(child, &status, 0) == child && status == 0);
}

// A profiler's, for example, at any moment.
void alive_whatever_signals_come() {
  struct sigaction quiet {};
  quiet.sa_handler = [](int) {};
  struct sigaction before {};
  CHECK(::sigaction(SIGUSR1, &quiet, &before) == 0);
  const ProcessHandle self = open_process(::getpid());
  std::atomic<bool> done{false};
  std::thread disturber([&done, target = ::pthread_self()] {
    while (!done) ::pthread_kill(target, SIGUSR1);
  });
  size_t deaths = 0;
  for (int i = 0; i < 200'000; ++i) deaths += is_alive(self.pidfd) ? 0 : 1;
  done = true;
  disturber.join();
  CHECK(::sigaction(SIGUSR1, &before, nullptr) == 0);
  CHECK(deaths == 0);
}

void watched_processes() {
  std::mutex mutex;
  std::condition_variable changed;
  int exits = 0;
  const auto on_exit = [&] {
    std::lock_guard<std::mutex> lock(mutex);
    ++exits;
    changed.notify_all();
  };
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    std::_Exit(0);
  }
  ProcessHandle handle = open_process(child);
  const auto twin = ProcessWatch::start(handle.duplicate(), on_exit);
  const auto stopped = ProcessWatch::start(handle.duplicate(), [] { std::_Exit(1); });
  const auto watch = ProcessWatch::start(std::move(handle), on_exit);
  stopped->stop();
  CHECK(!watch->exited_at());
  const auto before = Clock::now();
  ::kill(child, SIGKILL);
  {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [&] { return exits == 2; });
  }
  CHECK(watch->exited_at() >= before && twin->exited_at() >= before && !stopped->exited_at());
  int status = 0;
  CHECK(::waitpid(child, &status, 0) == child);
  ProcessHandle gone = open_process(child);
  CHECK(gone.gone && gone.proven());
  const auto late = ProcessWatch::start(std::move(gone), on_exit);
  std::unique_lock<std::mutex> lock(mutex);
  changed.wait(lock, [&] { return exits == 3; });
}

void connections() {
  const std::string path = "/tmp/cuda-ipc-channel-test-" + std::to_string(::getpid());
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::shared_ptr<Channel>> accepted;
  size_t failed = 0;
  const auto listener = Listener::open(path, 0660, 2,
                                       {[&](std::shared_ptr<Channel> channel) {
                                          std::lock_guard<std::mutex> lock(mutex);
                                          accepted.push_back(std::move(channel));
                                          changed.notify_all();
                                        },
                                        [&](const Error&) { ++failed; }});
  struct stat facts;
  CHECK(::stat(path.c_str(), &facts) == 0 && (facts.st_mode & 07777) == 0660);
  thrown("ERR_CUDA_IPC_ADDRESS_IN_USE", [&] { Listener::open(path, 0600, 2, {}); });
  std::vector<std::shared_ptr<Channel>> connected;
  const auto wanted = std::make_shared<int>();
  for (int i = 0; i < 200; ++i) {
    auto done = [&](std::shared_ptr<Channel> channel, std::optional<Error> error) {
      CHECK(channel && !error);
      std::lock_guard<std::mutex> lock(mutex);
      connected.push_back(std::move(channel));
      changed.notify_all();
    };
    if (std::shared_ptr<Channel> channel = try_connect(path))
      done(std::move(channel), std::nullopt);
    else
      connect_later(path, wanted, done);
  }
  size_t handled = 0;
  std::unique_lock<std::mutex> lock(mutex);
  while (handled < 200 || connected.size() < 200) {
    const size_t now = accepted.size();
    lock.unlock();
    for (; handled < now; ++handled) listener->handled();
    lock.lock();
    changed.wait(lock,
                 [&] { return accepted.size() > handled || (handled == 200 && connected.size() == 200); });
  }
  CHECK(failed == 0);
  lock.unlock();
  listener->close();
  ::unlink(path.c_str());
  thrown("ERR_CUDA_IPC_NO_OWNER", [&] { try_connect(path); });
}

}  // namespace

int main() {
  // Before the socket thread is there: it does not come along into a child.
  too_many_descriptors_in_flight();
  traffic_with_pauses_and_descriptors();
  closing_in_the_middle();
  last_words();
  senders_facts_beside_every_message();
  only_streams_are_adopted();
  alive_whatever_signals_come();
  watched_processes();
  connections();
  return 0;
}
