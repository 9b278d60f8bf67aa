// A small pool of std::threads that runs independent, numbered tasks.
//
// Every task owns its output, and the tasks of a job do not depend on the number of threads: results are the same to
// the last bit for any thread count. With one thread, or one task, the job runs in the calling thread and nothing is
// started.
#pragma once

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

#include "core/types.hpp"

namespace henderson {

class ThreadPool {
 public:
  explicit ThreadPool(int threads) : threads_(threads < 1 ? 1 : threads) {}
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int threads() const { return threads_; }

  // Calls task(0), ..., task(count - 1), each once, and returns when all are done. Nothing is copied or allocated.
  // An exception in a task ends the job and is thrown here.
  template <class Task>
  void run(Index count, Task&& task) {
    if (count <= 1 || threads_ == 1) {
      for (Index i = 0; i < count; ++i) task(i);
      return;
    }
    run_shared(count,
               {[](const void* context, Index i) { (*static_cast<const std::remove_reference_t<Task>*>(context))(i); },
                &task});
  }

 private:
  struct TaskRef {
    void (*call)(const void*, Index) = nullptr;
    const void* context = nullptr;
  };

  void run_shared(Index count, TaskRef task);
  void start();
  void work();
  void drain();

  int threads_;
  long process_ = 0;  // a forked child has none of these threads: it runs its jobs alone
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  TaskRef task_;
  std::exception_ptr failure_;
  Index count_ = 0;
  std::atomic<Index> next_{0};
  std::atomic<int> busy_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint64_t> job_{0};
};

}  // namespace henderson
