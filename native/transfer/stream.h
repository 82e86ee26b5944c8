// A stream and an event of one device, for work of the addon's own threads.
#pragma once

#include "driver/driver.h"

namespace cuda_ipc {

// Its one undo call is cuStreamDestroy; what is in the stream still runs to its end.
class Stream {
 public:
  Stream(int device, unsigned flags);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  cu::CUstream get() const { return stream_; }

 private:
  int device_;
  cu::CUstream stream_ = nullptr;
};

// Its one undo call is cuEventDestroy. Waiting for it does not occupy a core.
class Event {
 public:
  explicit Event(int device);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  // With the device's context current.
  void record(const Stream& stream) const;
  bool reached() const;
  void wait() const;

 private:
  int device_;
  cu::CUevent event_ = nullptr;
};

}  // namespace cuda_ipc
