package dev.sidecall;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/**
 * A run that was started. Its outcome is taken once, by the {@link Finisher} of the model or by a
 * thread that waits for it.
 */
final class StartedRun {
  /** Is told the outcome of a run, once, by any thread. It must not block. */
  interface Listener {
    void ended(int status);

    /**
     * The run is under way. Not called if it could not be started. Returns true if this function
     * has waited for the outcome and taken it.
     */
    default boolean started(StartedRun run) {
      return false;
    }

    /** Whether something waits for the outcome. */
    default boolean isAwaited() {
      return true;
    }
  }

  private static final int FREE = 0;
  private static final int TAKEN = 1; // a thread asks for the outcome at present
  private static final int OVER = 2; // a thread has the outcome

  private static final VarHandle OWNER;

  static {
    try {
      OWNER = MethodHandles.lookup().findVarHandle(StartedRun.class, "owner", int.class);
    } catch (ReflectiveOperationException e) {
      throw new ExceptionInInitializerError(e);
    }
  }

  private final Workspace w;
  private final Listener listener;
  private final long timeoutNs;
  private final long begin; // a System.nanoTime; of no use without a deadline
  private volatile boolean isHurried;
  private volatile boolean isJoined;
  private volatile int owner;
  private int status;

  // Used by the finisher.
  StartedRun next; // in a list
  long seenAt; // a System.nanoTime: when it first looked at the run

  private StartedRun(Workspace w, long timeoutNs, Listener listener) {
    this.w = w;
    this.timeoutNs = timeoutNs;
    begin = timeoutNs < 0 ? 0 : System.nanoTime();
    this.listener = listener;
  }

  /** Starts a run of the inputs that the call of a workspace has. */
  static void begin(Workspace w, long timeoutNs, Listener listener) {
    StartedRun run = new StartedRun(w, timeoutNs, listener);
    int status = Native.callTryStart(w.call, timeoutNs, w.scratch, w.error);
    if (status != 0) {
      listener.ended(status);
    } else if (Memory.getInt(w.scratch) != 0) {
      run.isUnderWay();
    } else {
      Waits.start(run::connect);
    }
  }

  private void connect() {
    int failure = Native.callStart(w.call, Deadline.remaining(timeoutNs, begin), w.error);
    if (failure != 0) {
      listener.ended(failure);
    } else {
      isUnderWay();
    }
  }

  private void isUnderWay() {
    if (!listener.started(this)) {
      w.core.finisher.add(this);
    }
  }

  /** Returns the nanoseconds until the deadline; a large number if there is none. */
  long left(long now) {
    return timeoutNs < 0 ? Long.MAX_VALUE : timeoutNs - (now - begin);
  }

  boolean isAwaited() {
    return isHurried || listener.isAwaited();
  }

  /** Something waits for the outcome from now on. */
  void hurry() {
    if (!isHurried) {
      isHurried = true;
      w.core.finisher.hurry();
    }
  }

  /**
   * Lets this thread ask for the outcome, until {@link #giveBack} or {@link #end}. Returns false if
   * another thread does so, or has it.
   */
  boolean take() {
    return owner == FREE && OWNER.compareAndSet(this, FREE, TAKEN);
  }

  /** Waits for the outcome, and returns it. */
  int finish(long waitNs) {
    return Native.callFinish(w.call, waitNs, w.error);
  }

  void giveBack() {
    owner = FREE;
  }

  void end(int status) {
    this.status = status;
    owner = OVER;
  }

  boolean isOver() {
    return owner == OVER;
  }

  /** The thread that calls this keeps the call from being closed. */
  void cancel() {
    Native.callCancel(w.call);
  }

  /** Takes the outcome of a run that was cancelled. It is there at once. */
  void takeCancelled() {
    if (!take()) {
      return; // the thread that waits gets it now
    }
    int found = finish(0);
    if (Finisher.isPending(found)) { // it was cancelled before it began
      giveBack();
      hurry();
    } else {
      end(found);
      tell();
    }
  }

  /** A thread waits that takes outcomes itself, so that the finisher need not do it. */
  void markJoined() {
    isJoined = true;
    w.core.finisher.beLazy();
  }

  boolean wasJoined() {
    return isJoined;
  }

  /** Tells the outcome. Another run of the workspace may begin before this returns. */
  void tell() {
    try {
      listener.ended(status);
    } catch (Throwable e) {
      // Only for want of memory. The other runs need this thread.
      Thread.currentThread().getUncaughtExceptionHandler().uncaughtException(
          Thread.currentThread(), e);
    }
  }
}
