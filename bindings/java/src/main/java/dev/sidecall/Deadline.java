package dev.sidecall;

import java.time.Duration;
import java.util.Objects;

/** Converts times of Java to those of the library, in which -1 means that there is no deadline. */
final class Deadline {
  private Deadline() {}

  static long nanoseconds(Duration timeout) {
    Objects.requireNonNull(timeout, "timeout");
    if (timeout.isZero() || timeout.isNegative()) {
      throw SidecallException.refuse(
          Code.INVALID_ARGUMENT, "timeout: expected more than 0, got 0 or less");
    }
    return saturated(timeout);
  }

  /** A time beyond the range of the library, 292 years, is the longest one. */
  static long saturated(Duration time) {
    try {
      return time.toNanos();
    } catch (ArithmeticException e) {
      return Long.MAX_VALUE;
    }
  }

  /** Returns what is left of a time that began at `begin`, a {@link System#nanoTime}. */
  static long remaining(long timeoutNs, long begin) {
    return timeoutNs < 0 ? -1 : Math.max(timeoutNs - (System.nanoTime() - begin), 1);
  }

  static SidecallException passed() {
    return SidecallException.refuse(
        Code.TIMEOUT, "the deadline passed before the run began");
  }
}
