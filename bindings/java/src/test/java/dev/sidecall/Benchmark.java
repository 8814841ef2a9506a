package dev.sidecall;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.management.ManagementFactory;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.CompletableFuture;

/**
 * Measures what a prediction costs, as JSON lines: Benchmark MODELS [URI]
 *
 * <p>MODELS is the folder of the models of the tests, URI a server of gbm.onnx there. "ns" is the
 * median over rounds, "alloc_bytes" what the calling thread allocates for one operation; -1 for a
 * virtual thread, which Java does not tell.
 */
final class Benchmark {
  // Each row differs from the one before, because a repeated row takes the same branches.
  private static final int DIFFERENT_ROWS = 1024;
  private static final int ROUNDS = 50;

  private static final com.sun.management.ThreadMXBean THREADS =
      (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();

  record Order(
      double x0, double x1, double x2, double x3, double x4, double x5, double x6, double x7,
      double x8, double x9, double x10, double x11, double x12, double x13, double x14, double x15,
      double x16, double x17, double x18, double x19, double x20, double x21, double x22,
      double x23, double x24, double x25, double x26, double x27, double x28, double x29) {
    static Order of(double[] x) {
      return new Order(
          x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8], x[9], x[10], x[11], x[12], x[13],
          x[14], x[15], x[16], x[17], x[18], x[19], x[20], x[21], x[22], x[23], x[24], x[25], x[26],
          x[27], x[28], x[29]);
    }
  }

  record Verdict(Object label, double[] probabilities) {}

  private interface Operation {
    void run(int i) throws Exception;
  }

  private Benchmark() {}

  private static double[][] rows() {
    double[][] rows = new double[DIFFERENT_ROWS][30];
    long state = 1;
    for (double[] row : rows) {
      for (int i = 0; i < row.length; ++i) {
        state = state * 6364136223846793005L + 1442695040888963407L;
        row[i] = (double) (state >>> 40) / (1 << 20);
      }
    }
    return rows;
  }

  private static void measure(String name, int count, Operation operation) throws Exception {
    for (int i = 0; i < 30 * count; ++i) { // until it is compiled
      operation.run(i);
    }
    double[] ns = new double[ROUNDS];
    double[] bytes = new double[ROUNDS];
    for (int round = 0; round < ROUNDS; ++round) {
      long allocated = THREADS.getCurrentThreadAllocatedBytes();
      long begin = System.nanoTime();
      for (int i = 0; i < count; ++i) {
        operation.run(i);
      }
      ns[round] = (double) (System.nanoTime() - begin) / count;
      long after = THREADS.getCurrentThreadAllocatedBytes();
      bytes[round] = allocated < 0 ? -1 : (double) (after - allocated) / count;
    }
    Arrays.sort(ns);
    Arrays.sort(bytes);
    System.out.printf(
        "{\"name\": \"%s\", \"ns\": %.0f, \"alloc_bytes\": %.0f}%n",
        name, ns[ROUNDS / 2], bytes[ROUNDS / 2]);
  }

  public static void main(String[] arguments) throws Exception {
    double[][] rows = rows();
    Order[] orders = Arrays.stream(rows).map(Order::of).toArray(Order[]::new);
    Options options = Options.DEFAULTS.withEngine(Options.Engine.NATIVE);
    try (Model model = Sidecall.open(arguments[0] + "/gbm.onnx", options);
        Call call = model.newCall(1)) {
      // Writes a row into the memory of the call, runs it and reads a column.
      MemorySegment input = call.input(0).segment();
      int column = model.columns().size() - 1;
      double[] sum = new double[1];
      measure(
          "call",
          2000,
          i -> {
            double[] row = rows[i % DIFFERENT_ROWS];
            for (int k = 0; k < row.length; ++k) {
              input.setAtIndex(ValueLayout.JAVA_FLOAT, k, (float) row[k]);
            }
            call.run();
            sum[0] += call.getDouble(0, column);
          });
      measure(
          "set_row",
          2000,
          i -> {
            call.setRow(0, rows[i % DIFFERENT_ROWS]);
            call.run();
            sum[0] += call.getDouble(0, column);
          });
      measure("rows", 2000, i -> call.rows()); // the cheapest function of the library
      Predictor<Order, Verdict> predictor = model.newPredictor(Order.class, Verdict.class);
      measure("record", 2000, i -> predictor.predict(orders[i % DIFFERENT_ROWS]));
      Map<String, Object> map = new java.util.HashMap<>();
      for (int i = 0; i < 30; ++i) {
        map.put("x" + i, rows[0][i]);
      }
      measure("map", 2000, i -> model.predict(map));
      measure("async", 500, i -> predictor.predictAsync(orders[i % DIFFERENT_ROWS]).join());
    }
    if (arguments.length > 1) {
      measureServed(arguments[1], orders);
    }
  }

  private static void measureServed(String uri, Order[] orders) throws Exception {
    try (Model model = Sidecall.open(uri)) {
      Predictor<Order, Verdict> predictor = model.newPredictor(Order.class, Verdict.class);
      measure("shm_record", 500, i -> predictor.predict(orders[i % DIFFERENT_ROWS]));
      ArrayDeque<CompletableFuture<Verdict>> inFlight = new ArrayDeque<>();
      for (int i = 0; i < 63; ++i) {
        inFlight.add(predictor.predictAsync(orders[i]));
      }
      measure(
          "shm_async_64",
          500,
          i -> {
            inFlight.addLast(predictor.predictAsync(orders[i % DIFFERENT_ROWS]));
            inFlight.removeFirst().join();
          });
      inFlight.forEach(CompletableFuture::join);
      Thread.ofVirtual()
          .start(
              () -> {
                try {
                  measure("shm_virtual", 500, i -> predictor.predict(orders[i % DIFFERENT_ROWS]));
                } catch (Exception e) {
                  throw new IllegalStateException(e);
                }
              })
          .join();
    }
  }
}
