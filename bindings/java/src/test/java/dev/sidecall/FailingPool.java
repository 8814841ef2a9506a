package dev.sidecall;

import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.ForkJoinWorkerThread;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Predicts while the default executor cannot start its first thread: a program for LifecycleTest.
 * Java makes an object of this class for the threads of its common pool.
 */
public final class FailingPool implements ForkJoinPool.ForkJoinWorkerThreadFactory {
  private static final AtomicInteger STARTS = new AtomicInteger();

  /** Called by Java. */
  public FailingPool() {}

  @Override
  public ForkJoinWorkerThread newThread(ForkJoinPool pool) {
    if (STARTS.getAndIncrement() == 0) {
      throw new OutOfMemoryError("unable to create native thread");
    }
    return ForkJoinPool.defaultForkJoinWorkerThreadFactory.newThread(pool);
  }

  public static void main(String[] arguments) throws Exception {
    try (Model model = Models.open("penguins.onnx")) {
      Map<String, Object> record = Map.of("island", "Biscoe");
      Object wanted = model.predict(record);
      for (int i = 0; i < 100; ++i) {
        CountDownLatch told = new CountDownLatch(2);
        CompletableFuture<Map<String, Object>> future = model.predictAsync(record);
        future.whenComplete((answer, e) -> told.countDown());
        CompletableFuture<Void> all = CompletableFuture.allOf(future, model.predictAsync(record));
        all.whenComplete((nothing, e) -> told.countDown());
        told.await();
        all.join();
        if (!wanted.equals(future.join())) {
          throw new IllegalStateException("expected " + wanted + ", got " + future.join());
        }
      }
      try (Call call = model.newCall(1)) {
        call.clear();
        call.runAsync().thenRun(() -> {}).join();
      }
      System.out.print(STARTS.get() > 1 ? "done" : "no thread was needed");
    }
  }
}
