package dev.sidecall;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/** Functions of the library that wait for another process, and the threads for them. */
final class Waits {
  /** Starts a thread for each call that waits, so that no such call waits for another one. */
  private static final Executor THREADS =
      new ThreadPoolExecutor(
          0,
          Integer.MAX_VALUE,
          10,
          TimeUnit.SECONDS,
          new SynchronousQueue<>(),
          task -> daemon(task, "sidecall-waits"));

  private Waits() {}

  /**
   * Returns a thread that does not keep the program from ending. It has the class loader of the
   * system and no inherited thread locals: it may live longer than the application that starts it,
   * and must not keep that application in memory.
   */
  static Thread daemon(Runnable task, String name) {
    Thread thread = new Thread(null, task, name, 0, false);
    thread.setDaemon(true);
    return thread;
  }

  /**
   * Calls a function that may wait for another process. If this is a virtual thread it parks
   * meanwhile: in a function of the library it would occupy its carrier.
   *
   * @param mayWait false for a model in this process, whose functions compute and do not wait
   */
  static <T> T call(boolean mayWait, Supplier<T> function) {
    if (!mayWait || !Thread.currentThread().isVirtual()) {
      return function.get();
    }
    CompletableFuture<T> result = new CompletableFuture<>();
    Runnable task =
        () -> {
          try {
            result.complete(function.get());
          } catch (Throwable e) {
            result.completeExceptionally(e);
          }
        };
    try {
      THREADS.execute(task);
    } catch (RuntimeException | OutOfMemoryError e) { // no thread is left
      task.run();
    }
    try {
      return result.join();
    } catch (CompletionException e) {
      if (e.getCause() instanceof SidecallException refused) {
        throw refused.here();
      }
      throw Native.rethrow(e.getCause());
    }
  }
}
