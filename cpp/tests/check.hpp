// The test harness: TEST registers a function, CHECK and CHECK_CLOSE record what fails, run_tests runs them all.
//
//   TEST(name) { CHECK(condition); CHECK_CLOSE(actual, expected, relative_tolerance); }
//   const Scope scope("design 3");     names the case in the messages of its block
#pragma once

#include <Eigen/Core>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

namespace henderson::testing {

struct Test {
  const char* name;
  void (*body)();
};

inline std::vector<Test>& registry() {
  static std::vector<Test> tests;
  return tests;
}

inline bool add_test(const char* name, void (*body)()) { return registry().push_back({name, body}), true; }

inline std::string& scope_text() {
  static std::string text;
  return text;
}

class Scope {
 public:
  explicit Scope(const std::string& name) : before_(scope_text()) { scope_text() += " [" + name + "]"; }
  ~Scope() { scope_text() = before_; }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  std::string before_;
};

inline int failures_of_test = 0;

inline void report(bool passed, const char* file, int line, const char* expression, double error = 0,
                   double tolerance = 0) {
  if (passed || ++failures_of_test > 10) return;
  std::printf("%s:%d: failed: %s%s\n", file, line, expression, scope_text().c_str());
  if (tolerance > 0) std::printf("  relative error %.3g > %.3g\n", error, tolerance);
}

using AnyMatrix = Eigen::Ref<const Eigen::MatrixXd>;

// Largest difference over largest size; infinite where anything is not finite.
inline double relative_error(const AnyMatrix& actual, const AnyMatrix& expected) {
  if (actual.rows() != expected.rows() || actual.cols() != expected.cols()) return HUGE_VAL;
  if (actual.size() == 0) return 0;
  if (!actual.allFinite() || !expected.allFinite()) return HUGE_VAL;
  const double difference = (actual - expected).cwiseAbs().maxCoeff();
  return difference == 0 ? 0 : difference / std::max(actual.cwiseAbs().maxCoeff(), expected.cwiseAbs().maxCoeff());
}
inline double relative_error(double actual, double expected) {
  return relative_error(Eigen::MatrixXd::Constant(1, 1, actual), Eigen::MatrixXd::Constant(1, 1, expected));
}

int run_tests(const char* only);

}  // namespace henderson::testing

#define TEST(name)                                                                      \
  static void test_##name();                                                            \
  static const bool is_added_##name = henderson::testing::add_test(#name, test_##name); \
  static void test_##name()
#define CHECK(expression) henderson::testing::report(static_cast<bool>(expression), __FILE__, __LINE__, #expression)
#define CHECK_CLOSE(actual, expected, tolerance)                                                                       \
  do {                                                                                                                 \
    const double error_ = henderson::testing::relative_error(actual, expected);                                        \
    henderson::testing::report(error_ <= (tolerance), __FILE__, __LINE__, #actual " ~ " #expected, error_, tolerance); \
  } while (false)
