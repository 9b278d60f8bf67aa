// No evaluation after the first allocates: whatever value() and derivatives() need is there from then on.
//
// Counts every call of malloc and its kin, hence of operator new and of Eigen too: by the sanitizers' hooks where there
// are sanitizers, by replacing malloc on other GNU systems. Elsewhere only operator new of this program is seen.
#include <atomic>
#include <cstdlib>
#include <new>

#include "core/problem.hpp"
#include "tests/check.hpp"
#include "tests/designs.hpp"

namespace henderson::testing {

namespace {

std::atomic<bool> counting{false};
std::atomic<long> allocations{0};

void note_allocation() {
  if (counting.load(std::memory_order_relaxed)) allocations.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

}  // namespace henderson::testing

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void*, std::size_t),
                                                         void (*free_hook)(const volatile void*));
namespace {
const int hooks = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, std::size_t) { henderson::testing::note_allocation(); }, [](const volatile void*) {});
}  // namespace
#elif defined(__GLIBC__)
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* old, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);

void* malloc(std::size_t size) noexcept {
  henderson::testing::note_allocation();
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) noexcept {
  henderson::testing::note_allocation();
  return __libc_calloc(count, size);
}
void* realloc(void* old, std::size_t size) noexcept {
  henderson::testing::note_allocation();
  return __libc_realloc(old, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  henderson::testing::note_allocation();
  return __libc_memalign(alignment, size);
}
}
#else
void* operator new(std::size_t size) {
  henderson::testing::note_allocation();
  if (void* out = std::malloc(size)) return out;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
#endif

namespace henderson::testing {

namespace {

template <class Work>
long allocations_of(Work&& work) {
  allocations = 0;
  counting = true;
  work();
  counting = false;
  return allocations;
}

void check_evaluations(const Recipe& recipe, int threads) {
  Draws draws(131);
  const Design design = draw(recipe);
  ThreadPool pool(threads);
  const CrossProducts a = build_cross_products(design.data(), pool);
  for (const bool reml : {true, false}) {
    const Scope scope(recipe.name + (reml ? ", REML, " : ", ML, ") + std::to_string(threads) + " threads");
    ProfiledDeviance deviance(a, pool);
    deviance.set_reml(reml);
    Derivatives at;
    const auto value = [&](const RelativeFactor& factor) { CHECK(std::isfinite(deviance.value(factor))); };
    value(draw_factor(design, Shape::square, draws));
    deviance.derivatives(draw_factor(design, Shape::square, draws), true, at);
    for (int evaluation = 2; evaluation < 4; ++evaluation) {
      const RelativeFactor factor = draw_factor(design, Shape::square, draws);
      const long by_value = allocations_of([&] { value(factor); });
      const long by_derivatives = allocations_of([&] { deviance.derivatives(factor, true, at); });
      const Scope counts(std::to_string(by_value) + " by value, " + std::to_string(by_derivatives) + " by derivatives");
      CHECK(by_value == 0);
      CHECK(by_derivatives == 0);
    }
  }
}

}  // namespace

TEST(the_allocation_counter_counts) {
  CHECK(allocations_of([] { ::operator delete(::operator new(100)); }) >= 1);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(__GLIBC__)
  CHECK(allocations_of([] { Matrix(9, 9).setZero(); }) >= 1);
#endif
  CHECK(allocations_of([] {}) == 0);
}

TEST(evaluations_after_the_first_do_not_allocate) {
  for (const Recipe& recipe : all_recipes()) check_evaluations(recipe, 1);
}

TEST(evaluations_of_large_blocks_do_not_allocate) {
  for (const Recipe& recipe :
       {Recipe{"one factor, several chunks", 6000, {5000}, {{0, 2}}, 3, false, Layout::crossed},
        Recipe{"dense trailing of several tiles", 3000, {600, 300}, {{0, 1}, {1, 1}}, 2, false, Layout::crossed},
        Recipe{"wide patterns", 900, {300, 20, 6}, {{0, 2}, {1, 3}, {2, 2}}, 2, true, Layout::nested}})
    for (const int threads : {1, 2}) check_evaluations(recipe, threads);
}

}  // namespace henderson::testing
