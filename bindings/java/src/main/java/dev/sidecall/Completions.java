package dev.sidecall;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/**
 * The completion queue of the library, in which the asynchronous runs of all models are.
 *
 * <p>One daemon thread takes the outcomes of the runs that no thread of the program waits for. A
 * thread that waits for a future takes the outcome itself ({@link RunFuture}), which saves two
 * context switches. Once threads do so, the daemon thread leaves runs to them, unless something
 * else waits for the run or the run is old.
 */
final class Completions {
  /** A run in the queue. These functions do not block. */
  interface Run {
    /**
     * Tells the number of the run. Called by the thread that submitted it, which from now on no
     * longer uses the workspace. The run may be over.
     */
    void submitted(long number);

    /** Whether something waits for the outcome but cannot take it itself. */
    boolean isAwaited();

    /** Notes the outcome, which the daemon thread has taken. */
    void ended(int status);

    /**
     * Hands a run that has ended to the default executor, unless another thread handles it. Returns
     * whether the run was handed over.
     */
    boolean deliver();
  }

  // What take() returns instead of an outcome. No run ends with these.
  static final int PENDING = 14;
  /** The daemon thread has taken the outcome and calls {@link Run#ended}. */
  static final int ELSEWHERE = 12;

  private static final int MOST = 64; // outcomes that are taken at once

  /**
   * How long the daemon thread waits in the library. It looks at `isLazy` only after such a wait.
   */
  private static final long WAIT = TimeUnit.MILLISECONDS.toNanos(5);

  /** How long the daemon thread sleeps between two looks if threads take outcomes themselves. */
  private static final long NAP = TimeUnit.MICROSECONDS.toNanos(400);

  /** The age at which the daemon thread takes a run even if nothing waits for its outcome. */
  private static final long OLD = TimeUnit.MILLISECONDS.toNanos(2);

  /** After this many looks without any run, the daemon thread sleeps until a run is submitted. */
  private static final int MOST_NAPS = 25;

  private static final int AWAKE = 0;
  private static final int NAPPING = 1; // an urgent run wakes it up
  private static final int ASLEEP = 2; // every run wakes it up

  private static final VarHandle STATE;
  private static final Completions ONLY;

  static {
    try {
      STATE = MethodHandles.lookup().findVarHandle(Completions.class, "state", int.class);
    } catch (ReflectiveOperationException e) {
      throw new ExceptionInInitializerError(e);
    }
    ONLY = new Completions();
  }

  private final long queue = Outcome.of((out, error) -> Native.queueOpen(0, out, error), q -> q);
  private volatile Thread thread;
  private volatile int state = AWAKE;
  private volatile boolean isHurried; // a run became urgent after the thread last looked
  private volatile boolean isLazy; // threads take outcomes themselves; see the class comment

  // The workspaces by their numbers, which are the tags of their runs.
  private volatile Workspace[] workspaces = new Workspace[64];
  private final ArrayDeque<Integer> free = new ArrayDeque<>();
  private int used;

  // What follows is used by the daemon thread alone.
  private final long entries = Native.allocate((long) MOST * Header.Completion.SIZE);
  private final long count = Native.allocate(Long.BYTES);
  // Runs whose outcomes were noted. The next look delivers those that no other thread has read.
  private final List<Run> ended = new ArrayList<>();
  private boolean hasRuns;

  private Completions() {}

  /** Gives a workspace a number. */
  static int register(Workspace w) {
    synchronized (ONLY) {
      int slot = ONLY.free.isEmpty() ? ONLY.used++ : ONLY.free.pop();
      Workspace[] all = ONLY.workspaces;
      if (slot == all.length) {
        all = Arrays.copyOf(all, 2 * slot);
      }
      all[slot] = w;
      ONLY.workspaces = all;
      return slot;
    }
  }

  static void unregister(int slot) {
    synchronized (ONLY) {
      ONLY.workspaces[slot] = null;
      ONLY.free.push(slot);
    }
  }

  /**
   * Submits a run of the call of a workspace. Returns the status; if it is not 0, the workspace has
   * the error and there is no run.
   */
  static int submit(Workspace w, long timeoutNs, Run run) {
    if (ONLY.thread == null) {
      ONLY.start();
    }
    w.run = run;
    int status = Native.queueSubmit(ONLY.queue, w.call, timeoutNs, w.slot, w.scratch, w.error);
    if (status != 0) {
      w.run = null;
      return status;
    }
    run.submitted(Memory.getLong(w.scratch));
    ONLY.wake(!ONLY.isLazy || run.isAwaited());
    return 0;
  }

  /**
   * Takes the outcome of one run, whose workspace no other thread uses meanwhile. Returns the
   * status, PENDING if the run goes on, or ELSEWHERE.
   */
  static int take(Workspace w, long number, long waitNs) {
    long at = w.scratch;
    long size = Header.Completion.SIZE;
    if (Native.queueTake(ONLY.queue, number, at, size, 1, waitNs, at + size, 0) != 0) {
      return ELSEWHERE;
    }
    if (Memory.getLong(at + size) == 0) {
      return PENDING;
    }
    note(w, at);
    int status = Memory.getInt(at + Header.Completion.STATUS);
    // A server may answer with any number.
    return status == PENDING || status == ELSEWHERE ? Code.UNKNOWN.number() : status;
  }

  private static Run note(Workspace w, long entry) {
    Run run = w.run;
    boolean isHeld = (Memory.getInt(entry + Header.Completion.FLAGS) & Header.HELD) != 0;
    w.held = isHeld ? Memory.getLong(entry + Header.Completion.RUN) : 0;
    w.run = null;
    return run;
  }

  static void cancel(long number) {
    Native.queueCancel(ONLY.queue, number);
    hurry();
  }

  /** Notes that threads take outcomes themselves. */
  static void beLazy() {
    if (!ONLY.isLazy) {
      ONLY.isLazy = true;
    }
  }

  /** Notes that a run has become urgent. */
  static void hurry() {
    ONLY.wake(true);
  }

  private void wake(boolean isUrgent) {
    if (isUrgent) {
      isHurried = true;
    }
    // The daemon thread stores its state and then looks at `isHurried` and the runs, so one of the
    // two threads sees what the other has stored.
    int found = state;
    if ((found == ASLEEP || found == NAPPING && isUrgent)
        && STATE.compareAndSet(this, found, AWAKE)) {
      LockSupport.unpark(thread);
    }
  }

  private synchronized void start() {
    if (thread == null) {
      Thread started = Waits.daemon(this::serve, "sidecall-runs");
      try {
        started.start();
      } catch (OutOfMemoryError e) {
        throw SidecallException.refuse(Code.OUT_OF_MEMORY, "no thread is left for the outcomes");
      }
      thread = started;
    }
  }

  private void serve() {
    int naps = 0;
    while (true) {
      boolean isUrgent = look() || !isLazy && hasRuns;
      if (isUrgent) {
        naps = 0;
        takeAll();
      } else if (hasRuns || !ended.isEmpty() || ++naps < MOST_NAPS) {
        sleep(NAPPING);
        deliver();
      } else {
        sleep(ASLEEP);
        naps = 0;
      }
    }
  }

  /** Looks at all runs. Returns whether one is urgent. */
  private boolean look() {
    boolean isUrgent = isHurried;
    isHurried = false;
    hasRuns = false;
    long now = System.nanoTime();
    for (Workspace w : workspaces) {
      Run run = w == null ? null : w.run;
      if (w != null && run != w.seen) {
        w.seen = run;
        w.seenAt = now;
      }
      if (run != null) {
        hasRuns = true;
        isUrgent |= now - w.seenAt > OLD || run.isAwaited();
      }
    }
    return isUrgent && hasRuns;
  }

  private void takeAll() {
    long size = Header.Completion.SIZE;
    if (Native.queueTake(queue, 0, entries, size, MOST, WAIT, count, 0) != 0) {
      LockSupport.parkNanos(NAP); // the library refuses only a queue of another process
      return;
    }
    int taken = (int) Memory.getLong(count);
    for (long at = entries; at < entries + taken * size; at += size) {
      if ((Memory.getInt(at + Header.Completion.FLAGS) & Header.RELEASED) == 0) {
        Run run = note(workspaces[(int) Memory.getLong(at + Header.Completion.TAG)], at);
        run.ended(Memory.getInt(at + Header.Completion.STATUS));
        ended.add(run);
      }
    }
    if (!isLazy) {
      deliver();
    } else {
      ended.removeIf(run -> run.isAwaited() && deliver(run));
    }
  }

  private void deliver() {
    ended.forEach(this::deliver);
    ended.clear();
  }

  private boolean deliver(Run run) {
    try {
      if (run.deliver()) {
        isLazy = false;
      }
    } catch (Throwable e) {
      // Happens only if no memory is left. The thread goes on, because other runs need it.
      Thread self = Thread.currentThread();
      self.getUncaughtExceptionHandler().uncaughtException(self, e);
    }
    return true;
  }

  private void sleep(int how) {
    state = how;
    boolean mayNap = how == NAPPING && !isHurried;
    if (mayNap) {
      LockSupport.parkNanos(this, NAP);
    }
    while (how == ASLEEP && state == ASLEEP && !hasAny()) {
      LockSupport.park(this);
    }
    state = AWAKE;
  }

  private boolean hasAny() {
    look();
    return hasRuns;
  }
}
