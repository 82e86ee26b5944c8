// A slab that is being opened before anybody has asked for it.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "addon/slab.h"
#include "memory/open_slab.h"

namespace cuda_ipc {

// Its outcome has one taker. Without one it is undone: when the opening is dropped, or as soon as it is
// there.
class Opening {
 public:
  // One of the two.
  struct Outcome {
    std::shared_ptr<HeldMapping> mapping;
    std::optional<Error> error;
  };
  using Taker = std::function<void(Outcome)>;

  // Begins on this thread, if it is the reactor's and another serves the sockets meanwhile, else on the pool.
  // Throws what run_on_pool() does.
  static std::shared_ptr<Opening> begin(SlabSource source, Environment::Afterwards afterwards);
  ~Opening();

  // Whether it opens that memory in that way; the descriptors are for the caller to know of.
  bool is_of(const SlabSource& source) const;

  // The outcome, if it is there; else `taker` gets it, on a thread of the pool. Once.
  std::optional<Outcome> take(Taker taker);
  // Lets go of the outcome: here, or where it comes.
  void drop();
  // The same, and waits until it has been: not on an event loop.
  void undo();

 private:
  explicit Opening(const SlabSource& source);
  void finish(Outcome outcome);

  const SlabId id_;
  const std::string uuid_;
  const size_t bytes_;
  const Access access_;
  const std::optional<cu::CUipcMemHandle> handle_;
  std::mutex mutex_;
  std::optional<Outcome> outcome_;
  Taker taker_;
};

}  // namespace cuda_ipc
