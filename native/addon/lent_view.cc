#include "addon/lent_view.h"

namespace cuda_ipc {

std::shared_ptr<LentView> LentView::lend(Napi::Env env, Napi::Value view, const char* name) {
  auto self = std::make_shared<LentView>();
  self->bytes_ = view_argument(view, name);
  self->view_ = Napi::Persistent(view.As<Napi::Object>());
  self->closer_ = Environment::of(env).on_teardown([self] {
    self->wait();
    self->view_.Reset();
  });
  return self;
}

void LentView::take_back(Napi::Env env) {
  view_.Reset();
  Environment::of(env).forget(closer_);
}

void LentView::end() {
  std::lock_guard<std::mutex> lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

void LentView::wait() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return ended_; });
}

}  // namespace cuda_ipc
