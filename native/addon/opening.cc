#include "addon/opening.h"

#include <condition_variable>
#include <cstring>

#include "addon/pool.h"
#include "channel/reactor.h"

namespace cuda_ipc {

namespace {

bool same(const std::optional<cu::CUipcMemHandle>& one, const std::optional<cu::CUipcMemHandle>& other) {
  if (!one || !other) return one.has_value() == other.has_value();
  return std::memcmp(one->reserved, other->reserved, sizeof one->reserved) == 0;
}

Opening::Outcome open(SlabSource source, Environment::Afterwards afterwards) {
  try {
    OpenedSlab opened = open_slab(source);
    return {std::make_shared<HeldMapping>(opened.device, std::move(opened.reference), std::move(afterwards)),
            {}};
  } catch (const Error& error) {
    return {nullptr, error};
  } catch (const std::exception& error) {
    return {nullptr, Error("ERR_CUDA_IPC_INTERNAL", error.what())};
  }
}

// Nobody had its pointer: there is no work to wait for.
void let_go(Opening::Outcome outcome) {
  if (outcome.mapping) outcome.mapping->waited();
  outcome.mapping.reset();
}

}  // namespace

Opening::Opening(const SlabSource& source)
    : id_(source.id),
      uuid_(source.uuid),
      bytes_(source.bytes),
      access_(source.access),
      handle_(source.handle) {}

std::shared_ptr<Opening> Opening::begin(SlabSource source, Environment::Afterwards afterwards) {
  const std::shared_ptr<Opening> self(new Opening(source));
  auto shared = std::make_shared<SlabSource>(std::move(source));  // a task can be copied
  auto task = [self, shared, afterwards = std::move(afterwards)]() mutable {
    // Its descriptor is closed when somebody hears of the outcome, who may say that nothing is held any more.
    Opening::Outcome outcome = open(std::move(*shared), std::move(afterwards));
    self->finish(std::move(outcome));
  };
  if (!Reactor::instance().run_here(task)) run_on_pool(std::move(task));
  return self;
}

Opening::~Opening() {
  if (outcome_) let_go(std::move(*outcome_));
}

bool Opening::is_of(const SlabSource& source) const {
  return source.id == id_ && source.uuid == uuid_ && source.bytes == bytes_ && source.access == access_ &&
         same(source.handle, handle_);
}

std::optional<Opening::Outcome> Opening::take(Taker taker) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (outcome_) return std::exchange(outcome_, std::nullopt);
  taker_ = std::move(taker);
  return std::nullopt;
}

void Opening::drop() {
  if (std::optional<Outcome> outcome = take(let_go)) let_go(std::move(*outcome));
}

void Opening::undo() {
  std::mutex mutex;
  std::condition_variable changed;
  bool undone = false;
  std::optional<Outcome> outcome = take([&](Outcome late) {
    let_go(std::move(late));
    std::lock_guard<std::mutex> lock(mutex);
    undone = true;
    changed.notify_one();
  });
  if (outcome) return let_go(std::move(*outcome));
  std::unique_lock<std::mutex> lock(mutex);
  changed.wait(lock, [&] { return undone; });
}

void Opening::finish(Outcome outcome) {
  Taker taker;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!taker_) {
      outcome_ = std::move(outcome);
      return;
    }
    taker = std::move(taker_);
  }
  taker(std::move(outcome));
}

}  // namespace cuda_ipc
