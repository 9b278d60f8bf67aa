#include "core/thread_pool.hpp"

#include <utility>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif
#ifdef _WIN32
#include <process.h>
#else
#include <unistd.h>
#endif

namespace henderson {

namespace {
long process_id() {
#ifdef _WIN32
  return _getpid();
#else
  return static_cast<long>(getpid());
#endif
}
constexpr int patience = 2000;  // a few tens of microseconds

void pause() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__) && !defined(_MSC_VER)
  asm volatile("yield");
#endif
}

}  // namespace

ThreadPool::~ThreadPool() {
  if (workers_.empty()) return;
  if (process_ != process_id()) {
    for (auto& worker : workers_) worker.detach();
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void ThreadPool::start() {
  process_ = process_id();
  workers_.reserve(static_cast<std::size_t>(threads_ - 1));
  for (int i = 1; i < threads_; ++i) workers_.emplace_back([this] { work(); });
}

void ThreadPool::drain() {
  try {
    for (Index i = next_.fetch_add(1); i < count_; i = next_.fetch_add(1)) task_.call(task_.context, i);
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
    next_ = count_;
  }
}

// Jobs of one factorisation follow each other within microseconds: a worker looks out for the next one before it
// sleeps.
void ThreadPool::work() {
  std::uint64_t seen = 0;
  while (true) {
    for (int look = 0; look < patience && job_ == seen && !stopping_; ++look) pause();
    if (job_ == seen && !stopping_) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || job_ != seen; });
    }
    if (stopping_) return;
    seen = job_;
    drain();
    --busy_;
  }
}

void ThreadPool::run_shared(Index count, TaskRef task) {
  if (workers_.empty()) start();
  if (process_ != process_id()) {
    for (Index i = 0; i < count; ++i) task.call(task.context, i);
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    task_ = task;
    count_ = count;
    next_ = 0;
    busy_ = static_cast<int>(workers_.size());
    ++job_;
  }
  wake_.notify_all();
  drain();
  for (int look = 0; busy_ > 0; ++look) {
    if (look < patience)
      pause();
    else
      std::this_thread::yield();
  }
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

}  // namespace henderson
