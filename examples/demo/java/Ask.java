import dev.sidecall.Model;
import dev.sidecall.Sidecall;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/**
 * Queries an exported model for records, one JSON object per line. Used by demo.py.
 *
 * <p>Ask MODEL RECORDS CALLS
 *
 * <p>Prints one answer per record, and finally the time of a call in microseconds.
 */
public final class Ask {
  private static final int ROUNDS = 25; // short ones, some of which nothing interrupts

  private Ask() {}

  public static void main(String[] arguments) throws IOException {
    List<String> records = Files.readAllLines(Path.of(arguments[1]));
    int calls = Integer.parseInt(arguments[2]);
    try (Model model = Sidecall.open(arguments[0])) {
      records.forEach(record -> System.out.println(model.predictJson(record)));
      long best = Long.MAX_VALUE;
      for (int round = 0; round < ROUNDS; ++round) {
        long start = System.nanoTime();
        for (int i = 0; i < calls; ++i) {
          model.predictJson(records.get(i % records.size()));
        }
        best = Math.min(best, System.nanoTime() - start);
      }
      System.out.printf(Locale.ROOT, "%.2f%n", best / 1000.0 / calls);
    }
  }
}
