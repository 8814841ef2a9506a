package dev.sidecall;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.Consumer;
import java.util.function.Function;

/**
 * A run that no thread waits for, as a future of its result. It goes through these steps: it gets a
 * workspace of the pool, writes its inputs there, starts, ends, and reads its outputs.
 *
 * @param <T> the type of the result
 */
final class AsyncRun<T> extends CompletableFuture<T> implements StartedRun.Listener {
  private final Model model; // stays open as long as the program keeps this future, or it runs
  private final Core core;
  private final long timeoutNs;
  private final long begin = System.nanoTime();
  private final Consumer<Workspace> prepare;
  private final Function<Workspace, T> collect;

  private Workspace w; // while a cancellation may reach the run; guarded by this object

  private AsyncRun(
      Model model, long timeoutNs, Consumer<Workspace> prepare, Function<Workspace, T> collect) {
    this.model = model;
    this.core = model.core();
    this.timeoutNs = timeoutNs;
    this.prepare = prepare;
    this.collect = collect;
  }

  static <T> CompletableFuture<T> begin(
      Model model, long timeoutNs, Consumer<Workspace> prepare, Function<Workspace, T> collect) {
    AsyncRun<T> run = new AsyncRun<>(model, timeoutNs, prepare, collect);
    CompletableFuture<Workspace> workspace = run.core.takeLater(timeoutNs);
    if (workspace.isDone()) {
      workspace.whenComplete(run::hasWorkspace);
    } else {
      workspace.whenCompleteAsync(run::hasWorkspace, run.defaultExecutor());
    }
    return run;
  }

  private void hasWorkspace(Workspace taken, Throwable failure) {
    if (failure != null) {
      completeExceptionally(
          failure instanceof CompletionException wrapped ? wrapped.getCause() : failure);
      return;
    }
    Workspace given = null;
    try {
      given = taken != null ? taken : core.openPooled();
      if (isDone()) { // cancelled while it waited
        core.give(given, true);
        return;
      }
      StartedRun run = given.startedRun();
      if (run == null) {
        throw SidecallException.refuse(Code.OUT_OF_MEMORY, "no file descriptor is left");
      }
      prepare.accept(given);
      synchronized (this) {
        w = given;
      }
      run.begin(Deadline.remaining(timeoutNs, begin), this);
    } catch (Throwable e) {
      synchronized (this) {
        w = null;
      }
      if (given != null) {
        core.give(given, e instanceof SidecallException);
      }
      completeExceptionally(e);
    }
  }

  /** Called when the run is under way, because a cancellation may have come before that. */
  @Override
  public void started() {
    if (isCancelled()) {
      cancelRun();
    }
  }

  @Override
  public void ended(int status) {
    Workspace ended;
    synchronized (this) {
      ended = w;
      w = null;
    }
    try {
      defaultExecutor().execute(() -> finish(ended, status));
    } catch (RuntimeException e) { // the executor does not take it
      finish(ended, status);
    }
  }

  private void finish(Workspace ended, int status) {
    T result = null;
    Throwable failure = null;
    boolean isReusable = false;
    try {
      ended.check(status);
      result = collect.apply(ended);
      isReusable = true;
    } catch (SidecallException e) {
      failure = e;
      isReusable = Core.isReusable(e);
    } catch (Throwable e) {
      failure = e;
    }
    core.give(ended, isReusable);
    if (failure == null) {
      complete(result);
    } else {
      completeExceptionally(failure);
    }
    java.lang.ref.Reference.reachabilityFence(model);
  }

  @Override
  public boolean cancel(boolean mayInterruptIfRunning) {
    boolean isNew = super.cancel(mayInterruptIfRunning);
    if (isNew) {
      cancelRun();
    }
    return isNew;
  }

  private synchronized void cancelRun() {
    if (w != null) {
      Native.callCancel(w.call);
    }
  }
}
