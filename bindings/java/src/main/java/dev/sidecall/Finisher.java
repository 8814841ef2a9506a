package dev.sidecall;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/**
 * Takes the outcomes of the runs of one model that no thread waits for. One thread does that for
 * all of them. It starts with the first run, ends some time after the last one, and does not keep
 * the program from ending.
 *
 * <p>The thread asks sidecall_call_finish for each run, which takes no system call while the server
 * is busy. With the descriptors of sidecall_call_fd it would be about ten for each run. Each model
 * has a thread of its own, so that a server that hangs does not delay the runs of other models.
 *
 * <p>A thread that waits for the future of a run takes the outcome itself ({@link RunFuture}),
 * which spares two changes of threads. Once threads do so, the finisher is lazy: it leaves alone
 * what is not urgent, which is a run that nothing waits for yet.
 */
final class Finisher {
  private static final int PENDING = 14; // has no Code, because no other function returns it

  /** The time after which a run becomes urgent, from the first look at it. */
  private static final long URGENT_AGE = 200_000; // ns

  // How long the thread waits for the oldest urgent run before it looks at the others again: a
  // quarter of the time in which nothing ended. A run that ends while an older one goes on is
  // noticed as late as that, and so is a run that is started meanwhile. The answer for the oldest
  // run ends the wait, and so does the deadline of any run.
  private static final int TURNS = 4; // how often other threads may run before it waits at all
  private static final long FIRST_WAIT = 20_000; // ns
  private static final long LAST_WAIT = 5_000_000; // ns

  // Without an urgent run it naps, longer each time. After so many naps without any run it parks;
  // then even a run that is not urgent has to wake it up.
  private static final long FIRST_NAP = 10_000; // ns
  private static final long LAST_NAP = 400_000; // ns
  private static final int MOST_NAPS = 10;

  // While other runs are under way, it gathers outcomes before it tells them: to wake a thread up
  // takes longer than a short run, and a thread that is awake needs no wake-up.
  private static final int MOST_ENDED = 32;
  private static final long LAST_ENDED = 10_000; // ns

  /** How long to do without a thread before trying again to start one. */
  private static final long RETRY = TimeUnit.MILLISECONDS.toNanos(10);

  /** How long the thread stays without a run. */
  private static final long KEEP = TimeUnit.SECONDS.toNanos(10);

  private static final int NONE = 0; // there is no thread
  private static final int AWAKE = 1;
  private static final int NAPPING = 2; // an urgent run wakes it up
  private static final int PARKED = 3; // every run wakes it up

  private static final VarHandle STATE;
  private static final VarHandle STARTED;

  static {
    try {
      MethodHandles.Lookup lookup = MethodHandles.lookup();
      STATE = lookup.findVarHandle(Finisher.class, "state", int.class);
      STARTED = lookup.findVarHandle(Finisher.class, "started", StartedRun.class);
    } catch (ReflectiveOperationException e) {
      throw new ExceptionInInitializerError(e);
    }
  }

  private volatile int state = NONE;
  private volatile Thread thread;

  /** Runs that the thread does not know yet, the newest first. */
  private volatile StartedRun started;

  /** Whether a run has become urgent since the thread has begun to look at all runs. */
  private volatile boolean isHurried;

  /** Whether threads have waited for futures since this one has ended a run without them. */
  private volatile boolean isLazy;

  // What follows is used by the thread alone.

  // The runs under way, the oldest first. Those that another thread has ended are among them until
  // the next look.
  private final Runs runs = new Runs();
  private final Runs ended = new Runs(); // their outcomes are to be told
  private long lookedAt; // a System.nanoTime
  private long endedAt; // the first of `ended`
  private long busyAt; // the last look before which a run had ended or been started
  private long untilDeadline; // the nanoseconds from `lookedAt` to the earliest deadline
  private StartedRun oldestUrgent; // of those that are not over
  private int naps; // since there was an urgent run

  static boolean isPending(int status) {
    return status == PENDING;
  }

  /** Takes a run that was started. Called once for each run, by any thread. */
  void add(StartedRun run) {
    StartedRun newest;
    do {
      newest = started;
      run.next = newest;
    } while (!STARTED.compareAndSet(this, newest, run));
    boolean isUrgent = isUrgent(run);
    if (isUrgent) {
      isHurried = true;
    }
    // The thread stores its state and then looks at `started` and `isHurried`, so one of the two
    // threads sees what the other has stored.
    while (true) {
      int found = state;
      if (found == AWAKE || found == NAPPING && !isUrgent) {
        return;
      }
      if (STATE.compareAndSet(this, found, AWAKE)) {
        if (found == NONE) {
          start();
        } else {
          LockSupport.unpark(thread);
        }
        return;
      }
    }
  }

  /** A run has become urgent. */
  void hurry() {
    isHurried = true;
    if (state == NAPPING && STATE.compareAndSet(this, NAPPING, AWAKE)) {
      LockSupport.unpark(thread);
    }
  }

  /** A thread that waits for a run takes its outcome. */
  void beLazy() {
    if (!isLazy) {
      isLazy = true;
    }
  }

  private boolean isUrgent(StartedRun run) {
    return !isLazy || run.isAwaited();
  }

  private void start() {
    if (!startThread()) {
      serve(true);
    }
  }

  /** Returns false if the process has no thread left. */
  private boolean startThread() {
    try {
      thread = Waits.daemon(() -> serve(false), "sidecall-runs");
      thread.start();
      return true;
    } catch (OutOfMemoryError e) {
      thread = null;
      return false;
    }
  }

  /**
   * Takes outcomes until there are none to take for some time.
   *
   * @param isBorrowed this is a thread of the program, which goes on when another can be started
   */
  private void serve(boolean isBorrowed) {
    long triedAt = System.nanoTime();
    int idle = 0; // how often nothing was over
    int unused = 0; // how often there was no run
    while (true) {
      if (isBorrowed && lookedAt - triedAt > RETRY) {
        triedAt = lookedAt;
        if (startThread()) {
          return;
        }
      }
      isHurried = false;
      if (takeStarted()) {
        idle = unused = 0;
      }
      boolean isWaiting = idle >= TURNS;
      if (look(isWaiting)) {
        idle = 0;
      }
      if (idle == 0) {
        busyAt = lookedAt;
      }
      if (ended.first != null) {
        gather();
      } else if (oldestUrgent != null) {
        naps = 0;
        if (!isWaiting) {
          ++idle;
          Thread.yield(); // other threads start their next runs before this one looks again
        } else if (await()) {
          idle = 0;
        } else {
          ++idle;
        }
      } else if (runs.first != null || ++unused < MOST_NAPS) {
        nap();
      } else if (!park(isBorrowed ? 0 : KEEP)) {
        return;
      }
    }
  }

  /** Appends the runs that were started since. */
  private boolean takeStarted() {
    if (started == null) {
      return false;
    }
    StartedRun run = (StartedRun) STARTED.getAndSet(this, null);
    StartedRun oldest = null;
    while (run != null) {
      StartedRun older = run.next;
      run.next = oldest;
      oldest = run;
      run = older;
    }
    long now = System.nanoTime();
    while (oldest != null) {
      StartedRun newer = oldest.next;
      oldest.seenAt = now;
      runs.append(oldest);
      oldest = newer;
    }
    return true;
  }

  /**
   * Takes the outcomes of urgent runs. Runs end in about the order in which they were started, so
   * unless all are to be looked at, it asks for no more after two that are not over. Returns false
   * if none was over.
   */
  private boolean look(boolean isThorough) {
    boolean hasEnded = false;
    int pending = 0;
    lookedAt = System.nanoTime();
    untilDeadline = Long.MAX_VALUE;
    oldestUrgent = null;
    StartedRun before = null;
    StartedRun run = runs.first;
    while (run != null) {
      StartedRun next = run.next;
      boolean isOver = run.isOver();
      if (isOver) {
        runs.remove(before, run);
      } else if (isUrgent(run) || lookedAt - run.seenAt > URGENT_AGE) {
        if ((isThorough || pending < 2) && run.take()) {
          int status = run.finish(0);
          isOver = status != PENDING;
          if (isOver) {
            runs.remove(before, run);
            keep(run, status);
            hasEnded = true;
          } else {
            run.giveBack();
            ++pending;
          }
        }
        if (!isOver && oldestUrgent == null) {
          oldestUrgent = run;
        }
      }
      if (!isOver) {
        untilDeadline = Math.min(untilDeadline, run.left(lookedAt));
        before = run;
      }
      run = next;
    }
    return hasEnded;
  }

  private void keep(StartedRun run, int status) {
    run.end(status);
    if (isLazy && !run.wasJoined()) {
      isLazy = false;
    }
    if (ended.first == null) {
      endedAt = lookedAt;
    }
    ended.append(run);
  }

  /** Tells the outcomes, unless more are likely to come soon. */
  private void gather() {
    if (oldestUrgent != null
        && ended.count < MOST_ENDED
        && lookedAt - endedAt < LAST_ENDED) {
      Thread.onSpinWait();
      return;
    }
    for (StartedRun run = ended.first; run != null; run = ended.first) {
      ended.remove(null, run);
      run.tell();
    }
  }

  /** Waits for the oldest urgent run. Returns whether it has ended. */
  private boolean await() {
    long longest = Math.clamp((lookedAt - busyAt) / 4, FIRST_WAIT, LAST_WAIT);
    long wait = Math.clamp(untilDeadline, FIRST_WAIT, longest);
    if (!oldestUrgent.take()) { // another thread waits for it
      LockSupport.parkNanos(this, FIRST_WAIT);
      return false;
    }
    int status = oldestUrgent.finish(wait);
    if (status == PENDING) {
      oldestUrgent.giveBack();
      return false;
    }
    runs.remove(oldestUrgent);
    keep(oldestUrgent, status);
    return true;
  }

  private void nap() {
    state = NAPPING;
    if (!isHurried) {
      long longest = Math.min(FIRST_NAP << naps, LAST_NAP);
      LockSupport.parkNanos(this, Math.clamp(untilDeadline, FIRST_NAP, longest));
    }
    state = AWAKE;
    naps = Math.min(naps + 1, 10);
  }

  /** Waits for a run to be started. Returns false if this thread is no longer needed. */
  private boolean park(long keep) {
    long begin = System.nanoTime();
    state = PARKED;
    while (started == null && state == PARKED) {
      long left = keep - (System.nanoTime() - begin);
      if (left > 0) {
        LockSupport.parkNanos(this, left);
      } else if (STATE.compareAndSet(this, PARKED, NONE)) {
        return started != null && STATE.compareAndSet(this, NONE, AWAKE);
      }
    }
    state = AWAKE;
    return true;
  }
}
