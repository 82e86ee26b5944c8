// The process-wide tables' core: one open per key however many ask at once, and none in another's way.
#include "memory/counted_table.h"

#include <atomic>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "check.h"

using namespace cuda_ipc;

namespace {

std::atomic<int> alive{0};

struct Value {
  explicit Value(std::function<void()> at_close = [] {}) : closing(std::move(at_close)) { ++alive; }
  ~Value() {
    closing();
    --alive;
  }
  std::function<void()> closing;
};

using Table = CountedTable<std::string, Value>;

bool holds(const Table& table, size_t entries, size_t references) {
  const auto statistics = table.statistics();
  return statistics.entries == entries && statistics.references == references;
}

void counts() {
  Table table;
  int opened = 0;
  const auto open = [&] {
    ++opened;
    return std::make_unique<Value>();
  };
  {
    const auto first = table.open("a", open);
    const auto second = table.open("a", open);
    const auto other = table.open("b", open);
    CHECK(&*first == &*second);
    CHECK(&*first != &*other);
    CHECK(opened == 2 && alive == 2);
    CHECK(holds(table, 2, 3));
  }
  CHECK(alive == 0);
  CHECK(holds(table, 0, 0));
  table.open("a", open);
  CHECK(opened == 3 && alive == 0);
}

void failures_leave_nothing() {
  Table table;
  thrown("ERR_TEST",
         [&] { table.open("a", []() -> std::unique_ptr<Value> { throw Error("ERR_TEST", ""); }); });
  CHECK(holds(table, 0, 0));
  const auto reference = table.open("a", [] { return std::make_unique<Value>(); });
  CHECK(holds(table, 1, 1));
}

void concurrent_opens_of_one_key() {
  Table table;
  std::atomic<int> opened{0};
  std::atomic<int> attempts{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i)
    threads.emplace_back([&] {
      for (int round = 0; round < 200; ++round) try {
          const auto reference = table.open("a", [&] {
            CHECK(++opened == 1);  // never two at a time
            if (++attempts % 7 == 0) {
              --opened;
              throw Error("ERR_TEST", "");
            }
            return std::make_unique<Value>([&] { --opened; });
          });
          CHECK(opened == 1);
        } catch (const Error&) {
          // The next round tries again.
        }
    });
  for (auto& thread : threads) thread.join();
  CHECK(alive == 0);
  CHECK(holds(table, 0, 0));
}

void other_keys_go_in_parallel() {
  Table table;
  std::promise<void> second_is_open;
  std::thread slow([&] {
    table.open("slow", [&] {
      second_is_open.get_future().wait();
      return std::make_unique<Value>();
    });
  });
  const auto reference = table.open("quick", [] { return std::make_unique<Value>(); });
  CHECK(table.statistics().entries == 1);
  second_is_open.set_value();
  slow.join();
}

void reopening_waits_for_the_close() {
  Table table;
  std::promise<void> closing;
  std::promise<void> may_close;
  auto first = std::make_unique<Table::Reference>(table.open("a", [&] {
    return std::make_unique<Value>([&] {
      closing.set_value();
      may_close.get_future().wait();
    });
  }));
  std::thread closer([&] { first.reset(); });
  closing.get_future().wait();
  std::atomic<bool> reopened{false};
  std::thread opener([&] {
    table.open("a", [&] {
      CHECK(alive == 0);
      reopened = true;
      return std::make_unique<Value>();
    });
  });
  CHECK(!reopened);
  may_close.set_value();
  closer.join();
  opener.join();
  CHECK(reopened);
}

void published_values_outlive_their_publisher() {
  Table table;
  auto publisher = std::make_unique<Table::Reference>(*table.publish("a", std::make_unique<Value>()));
  CHECK(!table.publish("a", std::make_unique<Value>()));
  CHECK(holds(table, 0, 0));
  {
    const auto local = table.open("a", []() -> std::unique_ptr<Value> { throw Error("ERR_TEST", "opened"); });
    CHECK(holds(table, 1, 1));
    publisher.reset();
    CHECK(alive == 1);
  }
  CHECK(alive == 0);
}

}  // namespace

int main() {
  counts();
  failures_leave_nothing();
  concurrent_opens_of_one_key();
  other_keys_go_in_parallel();
  reopening_waits_for_the_close();
  published_values_outlive_their_publisher();
}
