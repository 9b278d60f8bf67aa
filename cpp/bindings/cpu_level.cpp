// The extension module henderson._cpu: one constant, LEVEL, the x86-64 micro-architecture level this process can run.
//   1  baseline x86-64, and every other processor
//   3  AVX, AVX2, FMA, BMI1, BMI2, F16C, LZCNT, MOVBE, and the operating system saves the ymm registers
//   4  level 3, AVX-512 F, CD, BW, DQ, VL, and the operating system saves the zmm and mask registers
// The operating system counts as much as the processor: under a kernel or hypervisor that does not save the wide
// registers, cpuid still lists AVX-512 and the first instruction traps. Built with baseline flags and without pybind11,
// because it runs before anything is known.
#include <Python.h>

#include <cstdint>

#if defined(__x86_64__) || defined(_M_X64)
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif

namespace {

struct Registers {
  std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(std::uint32_t leaf) {
  Registers r;
#if defined(_MSC_VER)
  int highest[4], out[4];
  __cpuid(highest, static_cast<int>(leaf & 0x80000000u));
  if (static_cast<std::uint32_t>(highest[0]) < leaf) return r;
  __cpuidex(out, static_cast<int>(leaf), 0);
  r.eax = static_cast<std::uint32_t>(out[0]);
  r.ebx = static_cast<std::uint32_t>(out[1]);
  r.ecx = static_cast<std::uint32_t>(out[2]);
  r.edx = static_cast<std::uint32_t>(out[3]);
#else
  if (__get_cpuid_count(leaf, 0, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return Registers{};
#endif
  return r;
}

std::uint64_t enabled_state() {  // XCR0: the register states the operating system saves
#if defined(_MSC_VER)
  return _xgetbv(0);
#else
  std::uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<std::uint64_t>(high) << 32) | low;
#endif
}

constexpr std::uint32_t bit(int i) { return std::uint32_t{1} << i; }
constexpr bool all_of(std::uint64_t value, std::uint64_t mask) { return (value & mask) == mask; }

int level() {
  const Registers basic = cpuid(1), extended = cpuid(7), amd = cpuid(0x80000001u);
  const std::uint32_t fma = bit(12), movbe = bit(22), osxsave = bit(27), avx = bit(28), f16c = bit(29);
  const std::uint32_t bmi1 = bit(3), avx2 = bit(5), bmi2 = bit(8), lzcnt = bit(5);
  const std::uint32_t avx512 = bit(16) | bit(17) | bit(28) | bit(30) | bit(31);  // F, DQ, CD, BW, VL
  const std::uint64_t ymm = 0x06, zmm = 0xe6;  // XCR0 bits: SSE 1, AVX 2, mask 5, upper zmm 6, zmm16-31 7

  if (!all_of(basic.ecx, osxsave)) return 1;
  const std::uint64_t saved = enabled_state();
  const bool has_v3 = all_of(basic.ecx, fma | movbe | avx | f16c) && all_of(extended.ebx, bmi1 | avx2 | bmi2) &&
                      all_of(amd.ecx, lzcnt) && all_of(saved, ymm);
  if (!has_v3) return 1;
  return all_of(extended.ebx, avx512) && all_of(saved, zmm) ? 4 : 3;
}

}  // namespace
#else
namespace {
int level() { return 1; }
}  // namespace
#endif

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_cpu", nullptr, -1, nullptr, nullptr, nullptr, nullptr, nullptr};

PyMODINIT_FUNC PyInit__cpu() {
  PyObject* module = PyModule_Create(&definition);
  if (module != nullptr && PyModule_AddIntConstant(module, "LEVEL", level()) != 0) {
    Py_DECREF(module);
    return nullptr;
  }
  return module;
}
