#include <cstring>

#include "tests/check.hpp"

namespace henderson::testing {

int run_tests(const char* only) {
  int passed = 0, failed = 0;
  for (const Test& test : registry()) {
    if (only != nullptr && std::strstr(test.name, only) == nullptr) continue;
    failures_of_test = 0;
    test.body();
    if (failures_of_test > 0) std::printf("FAILED %s: %d checks\n", test.name, failures_of_test);
    ++(failures_of_test > 0 ? failed : passed);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}

}  // namespace henderson::testing

// core_tests [part of a test's name]
int main(int argc, char** argv) { return henderson::testing::run_tests(argc > 1 ? argv[1] : nullptr); }
