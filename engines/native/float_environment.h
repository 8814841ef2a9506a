// Sets the floating-point environment in which this engine computes, round to nearest with
// denormal numbers, and restores the previous one at the end of the scope. A program may have
// changed it: loading a library that was compiled with -ffast-math, for example, turns denormals
// off.
#pragma once

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#else
#include <cfenv>
#endif

namespace sidecall::native {

#if defined(__x86_64__) || defined(__i386__)
class FloatEnvironment {
 public:
  FloatEnvironment() : before_(_mm_getcsr()) {
    if ((before_ & ~kFlags) != kDefault) _mm_setcsr(kDefault);
  }
  ~FloatEnvironment() {
    if ((before_ & ~kFlags) != kDefault) _mm_setcsr(before_);
  }
  FloatEnvironment(const FloatEnvironment&) = delete;
  FloatEnvironment& operator=(const FloatEnvironment&) = delete;

 private:
  // Bits of the MXCSR register.
  static constexpr unsigned kFlags = 0x3f;      // exceptions that have occurred
  static constexpr unsigned kDefault = 0x1f80;  // all exceptions masked, all else off
  const unsigned before_;
};
#else
class FloatEnvironment {
 public:
  FloatEnvironment() {
    std::fegetenv(&before_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~FloatEnvironment() { std::fesetenv(&before_); }
  FloatEnvironment(const FloatEnvironment&) = delete;
  FloatEnvironment& operator=(const FloatEnvironment&) = delete;

 private:
  std::fenv_t before_;
};
#endif

}  // namespace sidecall::native
