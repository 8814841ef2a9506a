package dev.sidecall;

import java.util.concurrent.atomic.AtomicReferenceArray;

/**
 * One thread for the whole process, which waits in epoll_wait(2) for the descriptors of all runs
 * under way. It starts with the first of them, and does not keep the program from ending.
 *
 * <p>A descriptor reports one event and is then silent until it is armed again. epoll_ctl may be
 * called while another thread waits, so arming needs no message to this thread.
 */
final class Reactor {
  private static final int CLOEXEC = 0x80000;
  private static final int ADD = 1;
  private static final int DEL = 2;
  private static final int MOD = 3;
  private static final int READABLE = 1;
  private static final int ONCE = 1 << 30;
  private static final int CAPACITY = 64;

  // On x86-64 the struct epoll_event has no padding after its first member. Its second member, a
  // number of the program, is the descriptor.
  private static final int DATA = System.getProperty("os.arch").equals("amd64") ? 4 : 8;
  private static final int EVENT_SIZE = DATA + 8;

  private static Reactor reactor;

  private final int epoll;

  /** By descriptor. Grows under the lock of this object. */
  private volatile AtomicReferenceArray<StartedRun> runs = new AtomicReferenceArray<>(64);

  /**
   * The address of the struct that arms each descriptor. These structs are never released, because
   * a thread may still arm a descriptor after its run has ended. If the descriptor is closed by
   * then, epoll_ctl fails, which is harmless. An event without a run under way is ignored.
   */
  private volatile long[] events = new long[64];

  private Reactor(int epoll) {
    this.epoll = epoll;
  }

  /** Returns the reactor of this process; null if no descriptor or thread is left for it. */
  static synchronized Reactor get() {
    if (reactor == null) {
      int epoll = Native.epollCreate(CLOEXEC);
      if (epoll < 0) {
        return null;
      }
      Reactor started = new Reactor(epoll);
      Thread thread = new Thread(null, started::serve, "sidecall-runs");
      thread.setDaemon(true);
      thread.start();
      reactor = started;
    }
    return reactor;
  }

  synchronized boolean add(StartedRun run) {
    int fd = run.fd;
    if (fd >= runs.length()) {
      grow(2 * fd);
    }
    if (events[fd] == 0) {
      long event = Native.allocate(EVENT_SIZE);
      Memory.putInt(event, READABLE | ONCE);
      Memory.putInt(event + DATA, fd);
      events[fd] = event;
    }
    runs.set(fd, run);
    long silent = Native.allocate(EVENT_SIZE);
    boolean isAdded = Native.epollCtl(epoll, ADD, fd, silent) == 0;
    Native.free(silent);
    if (!isAdded) {
      runs.set(fd, null);
    }
    return isAdded;
  }

  private void grow(int size) {
    AtomicReferenceArray<StartedRun> larger = new AtomicReferenceArray<>(size);
    for (int i = 0; i < runs.length(); ++i) {
      larger.set(i, runs.get(i));
    }
    events = java.util.Arrays.copyOf(events, size);
    runs = larger;
  }

  synchronized void remove(StartedRun run) {
    Native.epollCtl(epoll, DEL, run.fd, events[run.fd]);
    runs.set(run.fd, null);
  }

  /** Reports when the descriptor is readable, once; at once if it already is. */
  void arm(int fd) {
    Native.epollCtl(epoll, MOD, fd, events[fd]);
  }

  private void serve() {
    long ready = Native.allocate((long) EVENT_SIZE * CAPACITY);
    while (true) {
      int count = Native.epollWait(epoll, ready, CAPACITY, -1); // -1 after a signal
      for (int i = 0; i < count; ++i) {
        StartedRun run = runs.get(Memory.getInt(ready + (long) EVENT_SIZE * i + DATA));
        if (run != null) {
          try {
            run.readable();
          } catch (Throwable e) {
            // Only a listener can fail, for want of memory. The other runs need this thread.
            Thread.currentThread().getUncaughtExceptionHandler().uncaughtException(
                Thread.currentThread(), e);
          }
        }
      }
    }
  }
}
