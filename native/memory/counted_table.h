// Opens by key, one at a time and once for all who ask: the core of the process-wide tables.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace cuda_ipc {

// The lock is never held while something opens or closes. Whoever asks for a key that another thread is
// opening or closing waits for that thread; other keys go on in parallel.
template <class Key, class Value>
class CountedTable {
  struct Entry {
    enum { kOpening, kOpen, kClosing } state = kOpening;
    std::unique_ptr<Value> value;
    size_t references = 0;   // from open()
    bool published = false;  // and the one from publish()
  };
  using Entries = std::map<Key, Entry>;  // nodes stay where they are

 public:
  using Opener = std::function<std::unique_ptr<Value>()>;

  // One counted reference. The last one to go destroys the value, on its own thread.
  class Reference {
   public:
    Reference(Reference&& other) noexcept
        : table_(std::exchange(other.table_, nullptr)), entry_(other.entry_), publisher_(other.publisher_) {}
    Reference& operator=(Reference&&) = delete;
    ~Reference() {
      if (table_ != nullptr) table_->drop(entry_, publisher_);
    }
    Value* operator->() const { return entry_->second.value.get(); }
    Value& operator*() const { return *entry_->second.value; }

   private:
    friend class CountedTable;
    Reference(CountedTable* table, typename Entries::iterator entry, bool publisher)
        : table_(table), entry_(entry), publisher_(publisher) {}
    CountedTable* table_;
    typename Entries::iterator entry_;
    bool publisher_;
  };

  CountedTable() = default;
  CountedTable(const CountedTable&) = delete;
  CountedTable& operator=(const CountedTable&) = delete;

  // Counts, or calls `open_value` first. When that throws, nothing stays behind, and those who waited try
  // themselves.
  Reference open(const Key& key, const Opener& open_value) {
    std::unique_lock<std::mutex> lock(mutex_);
    auto entry = wait_until_settled(lock, key);
    if (entry == entries_.end()) {
      entry = entries_.emplace(key, Entry{}).first;
      lock.unlock();
      std::unique_ptr<Value> value;
      try {
        value = open_value();
      } catch (...) {
        lock.lock();
        entries_.erase(entry);
        changed_.notify_all();
        throw;
      }
      lock.lock();
      entry->second.value = std::move(value);
      entry->second.state = Entry::kOpen;
      changed_.notify_all();
    }
    ++entry->second.references;
    return Reference(this, entry, false);
  }

  // Enters what this process has made itself, so that open() finds it. Nothing when the key is taken.
  std::optional<Reference> publish(const Key& key, std::unique_ptr<Value> value) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (wait_until_settled(lock, key) != entries_.end()) return std::nullopt;
    const auto entry = entries_.emplace(key, Entry{}).first;
    entry->second.value = std::move(value);
    entry->second.published = true;
    entry->second.state = Entry::kOpen;
    return Reference(this, entry, true);
  }

  struct Statistics {
    size_t entries = 0;     // with at least one reference from open()
    size_t references = 0;  // from open()
  };
  Statistics statistics() const {
    std::lock_guard<std::mutex> lock(mutex_);
    Statistics sum;
    for (const auto& [key, entry] : entries_) {
      if (entry.references == 0) continue;
      ++sum.entries;
      sum.references += entry.references;
    }
    return sum;
  }

 private:
  typename Entries::iterator wait_until_settled(std::unique_lock<std::mutex>& lock, const Key& key) {
    for (;;) {
      const auto entry = entries_.find(key);
      if (entry == entries_.end() || entry->second.state == Entry::kOpen) return entry;
      changed_.wait(lock);
    }
  }

  void drop(typename Entries::iterator position, bool publisher) {
    std::unique_lock<std::mutex> lock(mutex_);
    Entry& entry = position->second;
    if (publisher) {
      entry.published = false;
    } else {
      --entry.references;
    }
    if (entry.published || entry.references != 0) return;
    entry.state = Entry::kClosing;
    lock.unlock();
    entry.value.reset();
    lock.lock();
    entries_.erase(position);
    changed_.notify_all();
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Entries entries_;
};

}  // namespace cuda_ipc
