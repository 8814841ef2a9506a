import dev.sidecall.Predictor;
import dev.sidecall.Call;
import dev.sidecall.Model;
import dev.sidecall.Name;
import dev.sidecall.Sidecall;
import java.io.BufferedOutputStream;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.concurrent.CompletableFuture;
import java.util.function.IntToDoubleFunction;

/** The client in Java of the benchmark of languages; client.c describes the requests. */
public final class Client {
  private static final int FEATURES = 30;
  private static final int ROWS = 1024;
  private static final int BLOCK = 64;
  private static final int WARM_UP = 100_000; // calls, until they are compiled

  record Order(
      double x0, double x1, double x2, double x3, double x4, double x5, double x6, double
      x7, double x8, double x9, double x10, double x11, double x12, double x13, double x14,
      double x15, double x16, double x17, double x18, double x19, double x20, double x21,
      double x22, double x23, double x24, double x25, double x26, double x27, double x28,
      double x29) {
    static Order of(double[] x) {
      return new Order(
          x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8], x[9], x[10], x[11],
          x[12], x[13], x[14], x[15], x[16], x[17], x[18], x[19], x[20], x[21], x[22],
          x[23], x[24], x[25], x[26], x[27], x[28], x[29]);
    }
  }

  record Verdict(@Name("probabilities.1") double probability) {}

  private static final OutputStream OUT = new BufferedOutputStream(System.out);

  private Client() {}

  private static void answer(long[] times, double[] answers) throws IOException {
    ByteBuffer bytes =
        ByteBuffer.allocate(8 * (times.length + answers.length)).order(ByteOrder.nativeOrder());
    for (long time : times) {
      bytes.putLong(time);
    }
    for (double one : answers) {
      bytes.putDouble(one);
    }
    String head = "ok " + times.length + " " + answers.length + "\n";
    OUT.write(head.getBytes(StandardCharsets.UTF_8));
    OUT.write(bytes.array());
    OUT.flush();
  }

  /** Times blocks of calls of `one`. */
  private static void blocks(int first, int count, IntToDoubleFunction one) throws IOException {
    long[] times = new long[count];
    double[] answers = new double[count * BLOCK];
    for (int block = 0; block < count; ++block) {
      long begin = System.nanoTime();
      for (int i = block * BLOCK; i < (block + 1) * BLOCK; ++i) {
        answers[i] = one.applyAsDouble((first + i) % ROWS);
      }
      times[block] = System.nanoTime() - begin;
    }
    answer(times, answers);
  }

  private static long predictServed(
      Predictor<Order, Verdict> predictor, Order[] orders, double[] answers, int flight) {
    ArrayDeque<CompletableFuture<Verdict>> running = new ArrayDeque<>();
    long begin = System.nanoTime();
    for (int i = 0; i < answers.length + flight; ++i) {
      if (i >= flight && i - flight < answers.length) {
        answers[i - flight] = running.removeFirst().join().probability();
      }
      if (i < answers.length) {
        running.addLast(predictor.predictAsync(orders[i % ROWS]));
      }
    }
    return System.nanoTime() - begin;
  }

  private static void served(String uri, Order[] orders, int runs, int flight) throws IOException {
    try (Model model = Sidecall.open(uri)) {
      Predictor<Order, Verdict> predictor = model.newPredictor(Order.class, Verdict.class);
      double[] answers = new double[runs];
      predictServed(predictor, orders, answers, flight); // connects, and is compiled
      long time = predictServed(predictor, orders, answers, flight);
      answer(new long[] {time}, answers);
    }
  }

  private static double allocatedBytes(IntToDoubleFunction one) {
    var threads = (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
    long before = threads.getCurrentThreadAllocatedBytes();
    for (int i = 0; i < ROWS; ++i) {
      one.applyAsDouble(i);
    }
    return Math.floor((double) (threads.getCurrentThreadAllocatedBytes() - before) / ROWS);
  }

  public static void main(String[] arguments) throws IOException {
    ByteBuffer bytes =
        ByteBuffer.wrap(Files.readAllBytes(Path.of(arguments[1]))).order(ByteOrder.nativeOrder());
    double[][] rows = new double[ROWS][FEATURES];
    Order[] orders = new Order[ROWS];
    for (int i = 0; i < ROWS; ++i) {
      for (int k = 0; k < FEATURES; ++k) {
        rows[i][k] = bytes.getDouble();
      }
      orders[i] = Order.of(rows[i]);
    }
    try (Model model = Sidecall.open(arguments[0]);
        Call call = model.newCall(1)) {
      Predictor<Order, Verdict> predictor = model.newPredictor(Order.class, Verdict.class);
      MemorySegment input = call.input(0).segment();
      int column = model.columns().size() - 1;
      IntToDoubleFunction oneCall =
          i -> {
            double[] row = rows[i];
            for (int k = 0; k < FEATURES; ++k) {
              input.setAtIndex(ValueLayout.JAVA_FLOAT, k, (float) row[k]);
            }
            call.run();
            return call.getDouble(0, column);
          };
      IntToDoubleFunction oneRecord = i -> predictor.predict(orders[i]).probability();
      for (int i = 0; i < WARM_UP; ++i) {
        oneCall.applyAsDouble(i % ROWS);
        oneRecord.applyAsDouble(i % ROWS);
      }
      BufferedReader lines =
          new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        String[] words = line.split(" ");
        switch (words[0]) {
          case "call" ->
              blocks(Integer.parseInt(words[1]), Integer.parseInt(words[2]), oneCall);
          case "record" ->
              blocks(Integer.parseInt(words[1]), Integer.parseInt(words[2]), oneRecord);
          case "served" ->
              served(words[1], orders, Integer.parseInt(words[2]), Integer.parseInt(words[3]));
          case "allocations" ->
              answer(
                  new long[0],
                  new double[] {allocatedBytes(oneCall), allocatedBytes(oneRecord)});
          default -> throw new IllegalArgumentException("unknown request: " + line);
        }
      }
    }
  }
}
