// Memory that has gone ahead to processes which may have it open before anything is counted for them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace cuda_ipc {

// How many are out, by version: until there is none its memory must not be freed. Every method may be called
// from any thread.
class Loans : public std::enable_shared_from_this<Loans> {
 public:
  // Out until it is destroyed, or for good.
  class Loan {
   public:
    Loan(Loan&& other) noexcept = default;
    Loan& operator=(Loan&&) = delete;
    ~Loan();
    void keep_for_good() { loans_.reset(); }

   private:
    friend class Loans;
    Loan(std::shared_ptr<Loans> loans, const std::string& version)
        : loans_(std::move(loans)), version_(version) {}
    std::shared_ptr<Loans> loans_;  // null once it was moved from
    std::string version_;
  };

  Loan take(const std::string& version);
  // False when none is out. Else `then` is called once, when the last has ended, on the thread that ends it.
  bool when_returned(const std::string& version, std::function<void()> then);

 private:
  struct Out {
    size_t count = 0;
    std::vector<std::function<void()>> then;
  };
  void returned(const std::string& version);

  std::mutex mutex_;
  std::map<std::string, Out> out_;
};

}  // namespace cuda_ipc
