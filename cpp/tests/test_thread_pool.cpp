#include <atomic>
#include <stdexcept>

#include "core/thread_pool.hpp"
#include "tests/check.hpp"

#ifndef _WIN32
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace henderson::testing {

namespace {

bool runs_each_once(ThreadPool& pool, Index count) {
  std::vector<int> calls(static_cast<std::size_t>(count), 0);
  pool.run(count, [&](Index i) { ++calls[static_cast<std::size_t>(i)]; });
  for (const int each : calls)
    if (each != 1) return false;
  return true;
}

}  // namespace

TEST(thread_pool_runs_every_task_once) {
  for (const int threads : {-1, 0, 1, 2, 3, 5}) {
    ThreadPool pool(threads);
    CHECK(pool.threads() == std::max(threads, 1));
    for (const Index count : {0, 1, 2, 3, 7, 64, 1000}) CHECK(runs_each_once(pool, count));
  }
}

TEST(thread_pool_survives_many_small_jobs) {
  ThreadPool pool(3);
  std::atomic<Index> total{0};
  for (int job = 0; job < 2000; ++job) pool.run(job % 5, [&](Index i) { total += i + 1; });
  CHECK(total == 400 * (1 + 3 + 6 + 10));
}

TEST(thread_pool_without_work_starts_nothing) {
  for (int i = 0; i < 50; ++i) ThreadPool pool(8);
  ThreadPool pool(4);
  CHECK(runs_each_once(pool, 1));
}

TEST(thread_pool_throws_what_a_task_threw_and_goes_on) {
  for (const int threads : {1, 2, 4}) {
    ThreadPool pool(threads);
    for (const Index bad : {0, 17, 99}) {
      bool caught = false;
      try {
        pool.run(100, [&](Index i) {
          if (i == bad) throw std::runtime_error("task");
        });
      } catch (const std::runtime_error&) {
        caught = true;
      }
      CHECK(caught);
      CHECK(runs_each_once(pool, 100));
    }
  }
}

#ifndef _WIN32
TEST(thread_pool_works_in_a_forked_child) {
  ThreadPool pool(3);
  CHECK(runs_each_once(pool, 50));
  const pid_t child = fork();
  if (child == 0) _exit(runs_each_once(pool, 50) ? 7 : 1);
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
  CHECK(runs_each_once(pool, 50));
}
#endif

}  // namespace henderson::testing
