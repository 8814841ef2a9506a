package dev.sidecall;

import java.lang.ref.Reference;
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
final class AsyncRun<T> extends RunFuture<T> {
  private final Model model; // stays open as long as the program keeps this future, or it runs
  private final Core core;
  private final long timeoutNs;
  private final long begin; // a System.nanoTime; of no use without a deadline
  private final Consumer<Workspace> prepare;
  private final Function<Workspace, T> collect;

  private Workspace w; // while the run has one

  private AsyncRun(
      Model model, long timeoutNs, Consumer<Workspace> prepare, Function<Workspace, T> collect) {
    this.model = model;
    this.core = model.core();
    this.timeoutNs = timeoutNs;
    begin = timeoutNs < 0 ? 0 : System.nanoTime();
    this.prepare = prepare;
    this.collect = collect;
  }

  static <T> CompletableFuture<T> begin(
      Model model, long timeoutNs, Consumer<Workspace> prepare, Function<Workspace, T> collect) {
    AsyncRun<T> run = new AsyncRun<>(model, timeoutNs, prepare, collect);
    Workspace free = run.core.takeFree();
    if (free != null) {
      run.hasWorkspace(free, null);
    } else {
      run.core.takeLater(timeoutNs).whenCompleteAsync(run::hasWorkspace, run.defaultExecutor());
    }
    return run;
  }

  private void hasWorkspace(Workspace taken, Throwable failure) {
    if (failure != null) {
      completeExceptionally(
          failure instanceof CompletionException wrapped ? wrapped.getCause() : failure);
      return;
    }
    try {
      if (!isDone()) { // cancelled while it waited
        prepare.accept(taken);
        w = taken;
        submit(taken, Deadline.remaining(timeoutNs, begin));
        return;
      }
    } catch (Throwable e) {
      completeExceptionally(e);
    }
    core.give(taken);
  }

  @Override
  void finish(int status) {
    T result = null;
    Throwable failure = null;
    try {
      w.check(status);
      result = collect.apply(w);
    } catch (Throwable e) {
      failure = e;
    }
    try {
      core.give(w);
    } finally {
      if (failure == null) {
        complete(result);
      } else {
        completeExceptionally(failure);
      }
      Reference.reachabilityFence(model);
    }
  }
}
