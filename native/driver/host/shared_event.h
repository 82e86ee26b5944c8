// The state of an interprocess event: numbers of the last record begun and completed, in a memfd that all
// processes map, and a futex on the latter.
#pragma once

#include <cstdint>
#include <memory>

#include "driver/host/fd.h"
#include "driver/types.h"

namespace cuda_ipc::host {

class SharedEvent {
 public:
  static cu::CUresult create(std::shared_ptr<SharedEvent>& event);
  static cu::CUresult open(Fd memory, std::shared_ptr<SharedEvent>& event);
  ~SharedEvent();

  const Fd& memory() const { return memory_; }

  uint32_t begin();  // the number of a new record, not complete yet
  void complete(uint32_t number);
  uint32_t last() const;  // the number of the last record begun by any process
  // A record whose process has died is complete: its work has ended.
  bool done(uint32_t number);
  void wait(uint32_t number);

 private:
  struct Page;
  SharedEvent(Fd memory, Page* page) : memory_(std::move(memory)), page_(page) {}
  bool is_complete(uint32_t number) const;
  static cu::CUresult map(Fd memory, std::shared_ptr<SharedEvent>& event);

  Fd memory_;
  Page* page_;
};

}  // namespace cuda_ipc::host
