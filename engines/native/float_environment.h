// The floating-point environment in which this engine computes: round to nearest, with denormal
// numbers. A program may have changed it, for example by a library compiled with -ffast-math.
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
  static constexpr unsigned kFlags = 0x3f;      // the exceptions that occurred
  static constexpr unsigned kDefault = 0x1f80;  // all exceptions masked, and nothing else
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
