package dev.sidecall;

import java.util.ArrayList;
import java.util.List;

/** Native memory that grows. What was written stays where it is until {@link #clear}. */
final class Buffer {
  private static final int SMALLEST = 1024;

  private long chunk;
  private long size;
  private long used;
  private final List<Long> old = new ArrayList<>(); // chunks that became too small

  /** Returns memory for so many bytes. {@link #use} keeps it, otherwise the next one has it too. */
  long reserve(long bytes) {
    if (size - used < bytes) {
      long larger = Math.max(SMALLEST, Math.max(2 * size, bytes));
      long memory = Native.allocate(larger);
      if (chunk != 0) {
        old.add(chunk);
      }
      chunk = memory;
      size = larger;
      used = 0;
    }
    return chunk + used;
  }

  void use(long bytes) {
    used += bytes;
  }

  void clear() {
    used = 0;
    if (!old.isEmpty()) {
      old.forEach(Native::free);
      old.clear();
    }
  }

  void free() {
    clear();
    Native.free(chunk);
    chunk = 0;
    size = 0;
  }
}
