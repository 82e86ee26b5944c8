#include "addon/load_job.h"

#include "kernels/source_checksum.h"

namespace cuda_ipc {

namespace {

constexpr std::chrono::milliseconds kReportInterval{50};

}  // namespace

void LoadJob::begin(Napi::Env env) {
  Environment& environment = Environment::of(env);
  dispatcher_ = environment.dispatcher();
  reports_ = !on_progress.IsEmpty();
  // Newer than the closers of `memory`, so it runs before they wait.
  closer_ = environment.on_teardown([self = shared_from_this()] { self->stop_and_wait(); });
}

void LoadJob::settle(Napi::Env env) {
  on_progress.Reset();
  Environment::of(env).forget(closer_);
  take_back(env);
}

void LoadJob::take_back(Napi::Env env) {
  on_progress.Reset();
  for (const auto& view : memory) view->take_back(env);
  memory.clear();
}

LoadJob::Outcome LoadJob::run() {
  // The last report is queued before the promise settles, whatever the outcome, and so comes before it.
  struct LastReport {
    LoadJob& job;
    ~LastReport() {
      if (job.reports_) job.post_progress();
    }
  } last_report{*this};
  if (sources_only) return {{}, source_checksum(plan, checksum_bytes, *this)};
  struct Summing {  // gone when run() returns, whatever the outcome
    std::optional<StreamedChecksum>& checksum;
    ~Summing() { checksum.reset(); }
  } summing{checksum_};
  if (checksum_bytes != 0) checksum_.emplace(plan, checksum_bytes);
  Outcome outcome{load(plan, *this), std::nullopt};
  if (checksum_) outcome.checksum = checksum_->finish();
  return outcome;
}

void LoadJob::end() {
  for (const auto& view : memory) view->end();
  std::lock_guard<std::mutex> lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

bool LoadJob::cancelled() const {
  return stopped_ || (cancel && *cancel);
}

void LoadJob::arrived(size_t bytes) {
  bytes_ += bytes;
  if (!reports_) return;
  const Clock::rep now = Clock::now().time_since_epoch().count();
  Clock::rep due = next_report_;
  const Clock::rep next = now + std::chrono::duration_cast<Clock::duration>(kReportInterval).count();
  if (now < due || !next_report_.compare_exchange_strong(due, next)) return;
  // An event loop that is behind gets one report with the newest number, not a queue of old ones.
  if (!report_posted_.exchange(true)) post_progress();
}

void LoadJob::landing(cu::CUstream stream, size_t target, size_t bytes) {
  if (checksum_) checksum_->landing(stream, target, bytes);
}

void LoadJob::post_progress() {
  dispatcher_->post([self = shared_from_this()](Napi::Env env) {
    self->report_posted_ = false;
    if (!self->on_progress.IsEmpty())
      self->on_progress.Call({Napi::Number::New(env, static_cast<double>(self->bytes_))});
  });
}

void LoadJob::stop_and_wait() {
  stopped_ = true;
  on_progress.Reset();
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return ended_; });
}

}  // namespace cuda_ipc
