#include "driver/host/context.h"

#include <algorithm>

#include "driver/host/event.h"
#include "driver/host/mapping.h"
#include "driver/host/module.h"
#include "driver/host/state.h"

namespace cuda_ipc::host {

Context::Context(int device) : device(device), default_stream_(std::make_shared<Stream>(*this, true)) {}

void Context::fail(CUresult result) {
  CUresult none = CUDA_SUCCESS;
  failure_.compare_exchange_strong(none, result);
}

unsigned Context::retain() {
  const std::lock_guard<std::mutex> lock(retain_mutex_);
  return ++retained_;
}

bool Context::release() {
  const std::lock_guard<std::mutex> lock(retain_mutex_);
  if (retained_ == 0) return false;
  if (retained_ == 1) destroy_contents();
  retained_--;
  return true;
}

void Context::destroy_contents() {
  wait_for_all();
  for (const auto& stream : state().streams.take_if([&](Stream& one) { return &one.context == this; }))
    stream->close();
  state().events.take_if([&](Event& one) { return &one.context == this; });
  state().functions.take_if([&](Function& one) { return &one.context == this; });
  state().modules.take_if([&](Module& one) { return &one.context == this; });
  free_memory_of(*this);
}

std::shared_ptr<Stream> Context::create_stream(bool blocking) {
  auto stream = std::make_shared<Stream>(*this, blocking);
  const std::lock_guard<std::mutex> lock(order_mutex_);
  streams_.erase(std::remove_if(streams_.begin(), streams_.end(),
                                [](const auto& one) { return one->closed() && one->tail().done(); }),
                 streams_.end());
  streams_.push_back(stream);
  return stream;
}

std::vector<Ticket> Context::prerequisites(const Stream& stream) {
  std::vector<Ticket> tickets;
  const auto add = [&](Ticket ticket) {
    if (!ticket.done()) tickets.push_back(std::move(ticket));
  };
  if (&stream == default_stream_.get()) {
    for (const auto& other : streams_)
      if (other->blocking) add(other->tail());
  } else if (stream.blocking) {
    add(default_stream_->tail());
  }
  return tickets;
}

Ticket Context::submit(const std::shared_ptr<Stream>& stream, Work work) {
  const std::lock_guard<std::mutex> lock(order_mutex_);
  for (Ticket& ticket : prerequisites(*stream)) work.after.push_back(std::move(ticket));
  return stream->push(std::move(work));
}

std::vector<Ticket> Context::pending(Stream& stream) {
  const std::lock_guard<std::mutex> lock(order_mutex_);
  std::vector<Ticket> tickets = prerequisites(stream);
  Ticket own = stream.tail();
  if (!own.done()) tickets.push_back(std::move(own));
  return tickets;
}

void Context::wait_for(Stream& stream) {
  for (const Ticket& ticket : pending(stream)) ticket.wait();
}

void Context::wait_for_all() {
  std::vector<Ticket> tickets;
  {
    const std::lock_guard<std::mutex> lock(order_mutex_);
    for (const auto& stream : streams_) tickets.push_back(stream->tail());
    tickets.push_back(default_stream_->tail());
  }
  for (const Ticket& ticket : tickets) ticket.wait();
}

}  // namespace cuda_ipc::host
