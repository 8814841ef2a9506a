package dev.sidecall;

import static dev.sidecall.Models.ADELIE;
import static dev.sidecall.Models.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.sidecall.Models.Penguin;
import dev.sidecall.Models.Species;
import java.io.IOException;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import org.junit.jupiter.api.Test;

/** Every function that runs a model with a deadline of its own. */
class DeadlinesTest {
  /** Long enough for any run here. */
  private static final Duration LONG = Duration.ofDays(1);

  /** How programs call the server; NetworkTest has other ways. */
  Served.Route route() {
    return Served.Route.SHM;
  }

  private Served serve(String model) throws IOException {
    return Served.of(Models.path(model), route());
  }

  private interface Run {
    Object within(Duration timeout);
  }

  private static Object join(CompletableFuture<?> future) {
    try {
      return future.join();
    } catch (CompletionException e) {
      throw (SidecallException) e.getCause();
    }
  }

  private static Map<String, Run> runs(Model model) {
    Map<String, Run> runs = new LinkedHashMap<>();
    Predictor<Penguin, Species> predictor = model.newPredictor(Penguin.class, Species.class);
    Map<String, Object> empty = Map.of();
    Map<String, Tensor> inputs = inputs(model);
    runs.put("predict", t -> predictor.predict(ADELIE, t));
    runs.put("predictMany", t -> predictor.predictMany(List.of(ADELIE, ADELIE), t));
    runs.put("predictAsync", t -> join(predictor.predictAsync(ADELIE, t)));
    runs.put("predictManyAsync", t -> join(predictor.predictManyAsync(List.of(ADELIE, ADELIE), t)));
    runs.put("predict a map", t -> model.predict(empty, t));
    runs.put("predict a record", t -> model.predict(ADELIE, Species.class, t));
    runs.put("predictMany maps", t -> model.predictMany(List.of(empty), t));
    runs.put("predictAsync a map", t -> join(model.predictAsync(empty, t)));
    runs.put("predictAsync a record", t -> join(model.predictAsync(ADELIE, Species.class, t)));
    runs.put("run", t -> model.run(inputs, t));
    runs.put("runAsync", t -> join(model.runAsync(inputs, t)));
    return runs;
  }

  private static Map<String, Tensor> inputs(Model model) {
    Map<String, Tensor> inputs = new LinkedHashMap<>();
    for (TensorSpec spec : model.inputs()) {
      long[] shape = spec.shape().stream().mapToLong(size -> size < 0 ? 1 : size).toArray();
      int count = 1;
      for (long size : shape) {
        count *= (int) size;
      }
      inputs.put(
          spec.name(),
          switch (spec.dtype()) {
            case STRING -> Tensor.of("Biscoe,".repeat(count).split(","), shape);
            case INT64 -> Tensor.of(new long[count], shape);
            default -> Tensor.of(new float[count], shape);
          });
    }
    return inputs;
  }

  @Test
  void theDeadlineAlsoCountsWhileARunWaitsForItsTurn() {
    Options options = Options.DEFAULTS.withMaxCalls(1).withEngine(Options.Engine.NATIVE);
    try (Model model = Sidecall.open(Models.path("penguins.onnx"), options)) {
      Map<String, Run> runs = runs(model);
      Map<String, Object> answers = new LinkedHashMap<>();
      runs.forEach((name, run) -> answers.put(name, run.within(LONG)));
      Workspace only = model.core().take(-1);
      runs.forEach(
          (name, run) -> {
            SidecallException e =
                assertRefused(
                    Code.TIMEOUT,
                    "the deadline passed before the run began",
                    () -> run.within(Duration.ofMillis(1)));
            assertTrue(e.isRetryable(), name);
          });
      model.core().give(only);
      Species species = (Species) answers.get("predict");
      assertEquals("Adelie", species.label());
      assertEquals(species, answers.get("predict a record"));
      assertEquals(species, answers.get("predictAsync a record"));
      assertEquals(List.of(species, species), answers.get("predictMany"));
      assertEquals(List.of(species, species), answers.get("predictManyAsync"));
      for (String name : List.of("predict", "predict a map", "predictManyAsync")) {
        assertEquals(answers.get(name), runs.get(name).within(LONG), name);
      }
      Map<?, ?> outputs = (Map<?, ?>) runs.get("runAsync").within(LONG);
      assertEquals(((Map<?, ?>) answers.get("run")).keySet(), outputs.keySet());
    }
  }

  @Test
  void runsOfAServerThatHangsEndAtTheirDeadline() throws IOException {
    try (Served served = serve("penguins.onnx");
        Model model = served.connect();
        Call call = model.newCall(1)) {
      Map<String, Run> runs = runs(model);
      runs.forEach((name, run) -> run.within(LONG));
      call.clear();
      call.runAsync(LONG).join();
      Object label = call.getString(0, model.column("label"));
      served.freeze();
      SidecallException e =
          assertThrows(
              SidecallException.class, () -> join(call.runAsync(Duration.ofMillis(5))));
      assertEquals(Code.TIMEOUT, e.code());
      runs.forEach(
          (name, run) -> {
            SidecallException late =
                assertThrows(
                    SidecallException.class, () -> run.within(Duration.ofMillis(5)), name);
            // A run that had to connect first may have been too late for that.
            assertTrue(Set.of(Code.TIMEOUT, Code.UNREACHABLE).contains(late.code()), name);
          });
      served.thaw();
      // Until the server no longer uses the memory of the call, functions that change inputs fail
      // with BUSY. A run waits for that.
      call.runAsync(LONG).join();
      assertEquals(label, call.getString(0, model.column("label")));
      runs.forEach((name, run) -> run.within(LONG));
    }
  }

  @Test
  void aDeadlineIsMoreThanZero() {
    try (Model model = Models.open("penguins.onnx");
        Call call = model.newCall(1)) {
      Map<String, Run> runs = runs(model);
      runs.put("run of a call", timeout -> join(call.runAsync(timeout)));
      runs.put("no records", timeout -> model.predictMany(List.of(), timeout));
      runs.put(
          "no records, started",
          timeout ->
              join(model.newPredictor(Map.class, Map.class).predictManyAsync(List.of(), timeout)));
      runs.forEach(
          (name, run) -> {
            for (Duration wrong : List.of(Duration.ZERO, Duration.ofNanos(-1))) {
              assertRefused(
                  Code.INVALID_ARGUMENT,
                  "timeout: expected more than 0, got 0 or less",
                  () -> run.within(wrong));
            }
            NullPointerException e =
                assertThrows(NullPointerException.class, () -> run.within(null), name);
            assertEquals("timeout", e.getMessage());
          });
      call.clear();
      call.runAsync(Duration.ofDays(1_000_000)).join(); // beyond the range of the library
    }
  }
}
