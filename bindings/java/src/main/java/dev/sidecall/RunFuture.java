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
 * otherwise the thread of {@link Completions} gives the outcome to the default executor.
 *
 * @param <T> the type of the result
 */
abstract class RunFuture<T> extends CompletableFuture<T> implements Completions.Run {
  /**
   * The time after which a waiting thread stops taking outcomes itself. Only then does it notice
   * that it was interrupted, or that the program has completed the future.
   */
  private static final long HELP = 500_000; // ns

  /** How long a waiting thread polls before it sleeps. */
  private static final long LOOK = 200_000; // ns

  /** How often a thread looks for an outcome that the thread of Completions is about to note. */
  private static final int LOOKS = 200;

  private static final int UNDER_WAY = 0;
  private static final int JOINED = 1; // a thread waits in the library for the outcome
  private static final int LEFT = 2; // it has ended, and the thread that waited goes on with it
  private static final int ENDED = 3; // any thread may go on with it
  private static final int OVER = 4; // a thread goes on with it

  private static final VarHandle STATE;

  static {
    try {
      STATE = MethodHandles.lookup().findVarHandle(RunFuture.class, "state", int.class);
    } catch (ReflectiveOperationException e) {
      throw new ExceptionInInitializerError(e);
    }
  }

  private Workspace workspace;
  private volatile long number; // 0 before the run was submitted
  private volatile boolean isWanted; // a thread waits that does not take the outcome itself
  private volatile int state;
  private int status;

  /** Reads the outcome, completes the future and gives the workspace back. Called once. */
  abstract void finish(int status);

  /** Submits a run of the inputs that the call of a workspace has. */
  final void submit(Workspace w, long timeoutNs) {
    workspace = w;
    int failure = Completions.submit(w, timeoutNs, this);
    if (failure != 0) {
      finish(failure);
    }
  }

  @Override
  public void submitted(long number) {
    this.number = number;
    if (isCancelled()) { // perhaps while it had no number
      Completions.cancel(number);
    }
  }

  @Override
  public boolean isAwaited() {
    return isWanted || getNumberOfDependents() > 0;
  }

  @Override
  public void ended(int status) {
    this.status = status;
    while (!STATE.compareAndSet(this, UNDER_WAY, ENDED)
        && !STATE.compareAndSet(this, JOINED, LEFT)) {
      Thread.onSpinWait(); // a thread has just begun or ceased to wait
    }
  }

  @Override
  public boolean deliver() {
    if (state != ENDED) {
      return false;
    }
    try {
      defaultExecutor().execute(this::finishEnded);
    } catch (Throwable e) { // it does not take the task, or does and still cannot start a thread
      finishEnded();
    }
    return true;
  }

  private boolean finishEnded() {
    boolean isMine = STATE.compareAndSet(this, ENDED, OVER);
    if (isMine) {
      finish();
    }
    return isMine;
  }

  private void finish() {
    while (number == 0) {
      Thread.yield(); // the thread that submits the run has yet to store its number
    }
    if (status != 0) {
      Native.callError(workspace.call, workspace.error);
    }
    finish(status);
  }

  /** Notes that something waits for this future but does not take the outcome. */
  private void want() {
    isWanted = true;
    if (number != 0) {
      Completions.hurry();
    }
  }

  /** Waits for the run on this thread, if that blocks nothing else. */
  private void help(long longest) {
    if (number == 0 || super.isDone()) {
      return;
    }
    if (isAwaited()) { // this thread must not run what depends on the future
      Completions.hurry();
      return;
    }
    Thread thread = Thread.currentThread();
    if (thread.isVirtual() || thread instanceof ForkJoinWorkerThread) { // others may need its place
      if (!finishEnded()) {
        want();
      }
      return;
    }
    Completions.beLazy();
    if (!STATE.compareAndSet(this, UNDER_WAY, JOINED)) {
      if (!finishEnded()) {
        want();
      }
      return;
    }
    int found = look(longest);
    if (found == Completions.PENDING) {
      found = Completions.take(workspace, number, Math.min(longest, HELP));
    }
    for (int i = 0; found == Completions.ELSEWHERE && state == JOINED && i < LOOKS; ++i) {
      Thread.onSpinWait();
    }
    if (found != Completions.PENDING && found != Completions.ELSEWHERE) {
      status = found;
    } else if (STATE.compareAndSet(this, JOINED, UNDER_WAY)) {
      want();
      return;
    }
    if (isAwaited()) {
      state = ENDED;
      deliver();
    } else {
      state = OVER;
      finish();
    }
  }

  /**
   * Polls for the outcome, because most runs end sooner than this thread could sleep and be woken
   * up. It yields its CPU between two looks, because the server may need it.
   */
  private int look(long longest) {
    int found = Completions.take(workspace, number, 0);
    if (found == Completions.PENDING) {
      long begin = System.nanoTime();
      do {
        Thread.yield();
        found = Completions.take(workspace, number, 0);
      } while (found == Completions.PENDING
          && System.nanoTime() - begin < Math.min(longest, LOOK));
    }
    return found;
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
    want();
    return super.newIncompleteFuture();
  }

  @Override
  public boolean cancel(boolean mayInterruptIfRunning) {
    boolean isNew = super.cancel(mayInterruptIfRunning);
    if (isNew && number != 0) {
      Completions.cancel(number);
    }
    return isNew;
  }
}
