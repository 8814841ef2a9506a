package dev.sidecall;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.stream.Stream;

/**
 * Opens, uses and leaves models, and prints how much the process grew over the second half in KB: a
 * program for LifecycleTest. OpeningProgram close|forget COUNT
 */
final class OpeningProgram {
  private OpeningProgram() {}

  private static long residentKb() {
    try (Stream<String> lines = Files.lines(Path.of("/proc/self/status"))) {
      String line = lines.filter(one -> one.startsWith("VmRSS:")).findFirst().orElseThrow();
      return Long.parseLong(line.replaceAll("[^0-9]", ""));
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
  }

  public static void main(String[] arguments) throws InterruptedException {
    int count = Integer.parseInt(arguments[1]);
    long middle = 0;
    Map<String, Object> record =
        Map.of("f32_must", 1, "f64_must", 2, "i64_must", 3, "flag_must", false, "word_must", "b");
    for (int i = 0; i < count; ++i) {
      if (i == count / 2) {
        middle = residentKb();
      }
      Model model = Models.open("kinds.onnx");
      model.predict(record);
      if (arguments[0].equals("close")) {
        model.close();
      } else {
        model.newCall(1).rows(); // forgotten too
        if (i % 10 == 0) {
          System.gc();
          Thread.sleep(1);
        }
      }
    }
    System.out.println(residentKb() - middle);
  }
}
