// Keeps stream threads out of the way of a process that exits: they must not touch memory while destructors
// run.
#pragma once

namespace cuda_ipc::host {

// From exit() on no work begins, and exit() waits for what is running. Takes effect once.
void close_gate_at_exit();
bool gate_is_closed();

// Held while a stream thread touches memory.
class RunPermit {
 public:
  RunPermit();
  ~RunPermit();
  RunPermit(const RunPermit&) = delete;
  RunPermit& operator=(const RunPermit&) = delete;
  explicit operator bool() const { return granted_; }

 private:
  bool granted_;
};

}  // namespace cuda_ipc::host
