package dev.sidecall;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ForkJoinWorkerThread;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * The future of a run. A thread that waits for it takes the outcome itself if the run ends soon;
 * otherwise the {@link Finisher} gives the outcome to the default executor.
 *
 * @param <T> the type of the result
 */
abstract class RunFuture<T> extends CompletableFuture<T> implements StartedRun.Listener {
  /**
   * How long a thread takes part, which is also how late it notices that it was interrupted, or
   * that the program has completed the future.
   */
  private static final long HELP = 500_000; // ns

  private static final int OPEN = 0;
  private static final int CANCELLING = 1; // the call must not be closed or used again
  private static final int OVER = 2;

  private static final VarHandle PHASE;

  static {
    try {
      PHASE = MethodHandles.lookup().findVarHandle(RunFuture.class, "phase", int.class);
    } catch (ReflectiveOperationException e) {
      throw new ExceptionInInitializerError(e);
    }
  }

  private volatile StartedRun run; // null before it is under way; it may be over
  private volatile int phase;

  /** Reads the outcome and completes the future. Called once at most. */
  abstract void finish(int status);

  /** From now on no cancellation reaches the call. Returns false if that was so already. */
  final boolean leaveRun() {
    while (!PHASE.compareAndSet(this, OPEN, OVER)) {
      if (phase == OVER) {
        return false;
      }
      Thread.yield(); // another thread cancels, which takes a microsecond
    }
    return true;
  }

  final void cancelRun() {
    StartedRun found = run;
    if (found == null) {
      return; // started() does it
    }
    if (PHASE.compareAndSet(this, OPEN, CANCELLING)) {
      found.cancel();
      phase = OPEN;
    }
    found.takeCancelled();
  }

  @Override
  public boolean started(StartedRun run) {
    this.run = run;
    if (isCancelled()) { // perhaps before the run began, so that it had no effect
      cancelRun();
    }
    return false;
  }

  @Override
  public boolean isAwaited() {
    return getNumberOfDependents() > 0;
  }

  @Override
  public void ended(int status) {
    try {
      defaultExecutor().execute(() -> finishOnce(status));
    } catch (Throwable e) { // it does not take the task, or does and still cannot start a thread
      finishOnce(status);
    }
  }

  private void finishOnce(int status) {
    if (leaveRun()) {
      finish(status);
    }
  }

  /** Something is going to wait for this future. */
  private void hurry() {
    StartedRun found = run;
    if (found != null) {
      found.hurry();
    }
  }

  /** Waits for the run on this thread, if that blocks nothing else. */
  private void help(long longest) {
    StartedRun found = run;
    if (found == null || super.isDone()) {
      return;
    }
    Thread thread = Thread.currentThread();
    if (thread.isVirtual()
        || thread instanceof ForkJoinWorkerThread // its pool may need another thread meanwhile
        || isAwaited()) { // this thread must not run what depends on the future
      found.hurry();
      return;
    }
    found.markJoined();
    if (!found.take()) {
      found.hurry();
      return;
    }
    int status = found.finish(0);
    if (Finisher.isPending(status)) {
      status = found.finish(Math.min(longest, HELP));
    }
    if (Finisher.isPending(status)) {
      found.giveBack();
      found.hurry();
      return;
    }
    found.end(status);
    if (isAwaited()) {
      ended(status);
    } else {
      finishOnce(status);
    }
  }

  @Override
  public T join() {
    help(HELP);
    return super.join();
  }

  @Override
  public T get() throws InterruptedException, ExecutionException {
    help(HELP);
    return super.get();
  }

  @Override
  public T get(long timeout, TimeUnit unit)
      throws InterruptedException, ExecutionException, TimeoutException {
    long ns = unit.toNanos(timeout);
    long begin = System.nanoTime();
    if (ns > 0) {
      help(ns);
    }
    return super.get(ns - (System.nanoTime() - begin), TimeUnit.NANOSECONDS);
  }

  /** Called for everything that depends on this future, except allOf and anyOf. */
  @Override
  public <U> CompletableFuture<U> newIncompleteFuture() {
    hurry();
    return super.newIncompleteFuture();
  }

  @Override
  public boolean cancel(boolean mayInterruptIfRunning) {
    boolean isNew = super.cancel(mayInterruptIfRunning);
    if (isNew) {
      cancelRun();
    }
    return isNew;
  }
}
