package dev.sidecall;

import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.function.LongFunction;

/** Calls functions of the library that return a handle, a text or an index through a pointer. */
final class Outcome {
  /** A function of the library. */
  interface Function {
    int apply(long out, long error);
  }

  /** Memory for an out parameter and an error, which is large because of its faults. */
  private record Room(long out, long error) {}

  /** Rooms that no thread uses at present: as many as there were such functions at once. */
  private static final ConcurrentLinkedDeque<Room> IDLE = new ConcurrentLinkedDeque<>();

  private Outcome() {}

  /** Calls a function, and makes a result of what it returned, unless it failed. */
  static <T> T of(Function function, LongFunction<T> result) {
    Room found = IDLE.pollFirst();
    Room room =
        found != null
            ? found
            : new Room(
                Native.allocate(Long.BYTES), Native.errorOpen(SidecallException.MAX_FAULTS));
    try {
      Memory.putLong(room.out, 0);
      int status = function.apply(room.out, room.error);
      if (status == 0) {
        return result.apply(Memory.getLong(room.out));
      }
      throw SidecallException.of(status, room.error);
    } finally {
      IDLE.addFirst(room);
    }
  }
}
