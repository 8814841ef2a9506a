package dev.sidecall;

import static dev.sidecall.Models.ADELIE;
import static dev.sidecall.Models.assertRefused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.sidecall.Models.Penguin;
import dev.sidecall.Models.Species;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.time.ZoneId;
import java.time.ZonedDateTime;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;

class RecordsTest {
  @Test
  void aRecordIsAnsweredAsItsMapAndItsJsonText() {
    try (Model model = Models.open("penguins.onnx")) {
      Species answer = model.predict(ADELIE, Species.class);
      Map<String, Object> record = new HashMap<>();
      record.put("bill_length_mm", 39.1);
      record.put("bill_depth_mm", 18.7);
      record.put("flipper_length_mm", 181);
      record.put("body_mass_g", null);
      record.put("island", "Torgersen");
      record.put("sex", "male");
      Map<String, Object> asMap = model.predict(record);
      assertEquals(List.of("label", "probabilities"), List.copyOf(asMap.keySet()));
      assertEquals("Adelie", answer.label());
      assertEquals("Adelie", asMap.get("label"));
      assertEquals(answer.probabilities(), asMap.get("probabilities"));
      assertEquals(
          List.of("Adelie", "Chinstrap", "Gentoo"), List.copyOf(answer.probabilities().keySet()));
      assertEquals(answer.adelie(), answer.probabilities().get("Adelie"));
      String json =
          model.predictJson(
              """
              {"bill_length_mm": 39.1, "bill_depth_mm": 18.7, "flipper_length_mm": 181,
               "body_mass_g": null, "island": "Torgersen", "sex": "male"}""");
      Map<?, ?> parsed = (Map<?, ?>) ((Map<?, ?>) Json.parse(json)).get("probabilities");
      assertEquals((float) answer.adelie(), (float) ((Json.Number) parsed.get("Adelie")).real());
    }
  }

  @Test
  void manyRecordsAreAnsweredInOneRun() {
    try (Model model = Models.open("penguins.onnx")) {
      Predictor<Penguin, Species> predictor = model.newPredictor(Penguin.class, Species.class);
      Species one = predictor.predict(ADELIE);
      for (int rows : new int[] {1, 7, 3}) {
        List<Penguin> penguins = Collections.nCopies(rows, ADELIE);
        assertEquals(Collections.nCopies(rows, one), predictor.predictMany(penguins));
        assertEquals(Collections.nCopies(rows, one), predictor.predictManyAsync(penguins).join());
      }
      assertEquals(List.of(), predictor.predictMany(List.of()));
      assertEquals(List.of(), predictor.predictManyAsync(List.of()).join());
      List<Map<String, ?>> broken =
          List.of(Map.of("island", 1), Map.of(), Map.of("island", "Biscoe", "sex", 2, "size", 3));
      SidecallException e = assertRefused(Code.DTYPE_MISMATCH, () -> model.predictMany(broken));
      assertEquals(3, e.numFaults());
      assertEquals("size", e.faults().get(2).name());
      assertEquals(2, e.faults().get(2).row());
      assertEquals(Family.DATA, e.family());
      assertEquals("island", e.name());
      assertEquals(List.of("string", "int64"), List.of(e.expected(), e.got()));
      assertThrows(NullPointerException.class, () -> predictor.predict(null));
      List<Penguin> withNull = new ArrayList<>(List.of(ADELIE));
      withNull.add(null);
      assertThrows(NullPointerException.class, () -> predictor.predictMany(withNull));
      assertEquals(one, predictor.predict(ADELIE), "the workspaces stay usable");
    }
  }

  @Test
  void manyThreadsShareAModel() throws Exception {
    try (Model model = Models.open("penguins.onnx")) {
      Predictor<Penguin, Species> predictor = model.newPredictor(Penguin.class, Species.class);
      Species wanted = predictor.predict(ADELIE);
      for (ExecutorService executor :
          List.of(Executors.newFixedThreadPool(16), Executors.newVirtualThreadPerTaskExecutor())) {
        try (executor) {
          List<Future<?>> futures = new ArrayList<>();
          for (int i = 0; i < 1000; ++i) {
            futures.add(
                executor.submit(
                    () -> {
                      for (int k = 0; k < 20; ++k) {
                        assertEquals(wanted, predictor.predict(ADELIE));
                      }
                      assertEquals(wanted, predictor.predictAsync(ADELIE).join());
                    }));
          }
          for (Future<?> future : futures) {
            future.get();
          }
        }
      }
    }
  }

  @Test
  void runsBeyondTheLimitWaitForTheirTurn() {
    Options options = Options.DEFAULTS.withMaxCalls(1).withEngine(Options.Engine.NATIVE);
    try (Model model = Sidecall.open(Models.path("gbm.onnx"), options)) {
      float[] large = new float[30 * 500_000];
      Map<String, Tensor> input =
          Map.of(model.inputs().get(0).name(), Tensor.of(large, large.length / 30, 30));
      CompletableFuture<Map<String, Tensor>> first = model.runAsync(input);
      assertRefused(Code.TIMEOUT, () -> model.predict(Map.of(), Duration.ofMillis(1)));
      CompletableFuture<Map<String, Tensor>> second = model.runAsync(input);
      CompletableFuture<Map<String, Tensor>> cancelled = model.runAsync(input);
      cancelled.cancel(true);
      assertEquals(2, first.join().size());
      assertEquals(2, second.join().size());
      assertThrows(CancellationException.class, cancelled::join);
      assertRefused(Code.MISSING_VALUE, () -> model.predict(Map.of()));
    }
  }

  record Unknown(double size) {}

  record WrongType(@Name("island") List<String> home) {}

  record NoSuchColumn(@Name("labels") String label) {}

  record NumberOfText(double label) {}

  record NarrowNumber(@Name("probabilities.Adelie") long adelie) {}

  record ListOfText(List<String> probabilities) {}

  @Test
  void namesAndTypesThatDoNotFitAreRefusedWhenThePredictorIsMade() {
    try (Model model = Models.open("penguins.onnx");
        Model matmul = Models.open("matmul.onnx")) {
      assertRefused(
          Code.UNKNOWN_NAME, "'size'", () -> model.newPredictor(Unknown.class, Species.class));
      assertRefused(
          Code.INVALID_ARGUMENT,
          "got java.util.List<java.lang.String>",
          () -> model.newPredictor(WrongType.class, Species.class));
      assertRefused(
          Code.INVALID_ARGUMENT,
          "expected a record or Map, got int",
          () -> model.newPredictor(int.class, Species.class));
      assertRefused(
          Code.UNKNOWN_NAME,
          "'labels'",
          () -> model.newPredictor(Penguin.class, NoSuchColumn.class));
      SidecallException e =
          assertRefused(
              Code.DTYPE_MISMATCH,
              "column 'label': expected string, got double",
              () -> model.newPredictor(Penguin.class, NumberOfText.class));
      assertEquals("label", e.name());
      assertRefused(
          Code.DTYPE_MISMATCH,
          "got long",
          () -> model.newPredictor(Penguin.class, NarrowNumber.class));
      assertRefused(
          Code.DTYPE_MISMATCH,
          "got java",
          () -> model.newPredictor(Penguin.class, ListOfText.class));
      assertRefused(
          Code.INVALID_ARGUMENT,
          "got java.lang.String",
          () -> model.newPredictor(Penguin.class, String.class));
      assertRefused(
          Code.NO_CONTRACT, "contract", () -> matmul.newPredictor(Penguin.class, Species.class));
      assertRefused(Code.INVALID_ARGUMENT, () -> model.predict("text", Species.class));
    }
  }

  record Nothing() {}

  record Shapes(
      @Name("probabilities") double[] array,
      @Name("probabilities") List<Double> list,
      @Name("probabilities") float[] floats,
      @Name("probabilities.Gentoo") float gentoo,
      @Name("probabilities.Gentoo") Double boxed,
      @Name("label") Object any) {}

  @Test
  void anAnswerHasTheFormsOfItsComponents() {
    try (Model model = Models.open("penguins.onnx")) {
      Species wanted = model.predict(ADELIE, Species.class);
      Shapes shapes = model.predict(ADELIE, Shapes.class);
      assertEquals(List.copyOf(wanted.probabilities().values()), shapes.list());
      for (int i = 0; i < 3; ++i) {
        assertEquals(shapes.list().get(i), shapes.array()[i]);
        assertEquals(shapes.list().get(i), (double) shapes.floats()[i]);
      }
      assertEquals(shapes.boxed(), (double) shapes.gentoo());
      assertEquals("Adelie", shapes.any());
      assertEquals(new Nothing(), model.predict(ADELIE, Nothing.class));
      Map<?, ?> asMap = model.predict(ADELIE, Map.class);
      assertEquals("Adelie", asMap.get("label"));
      assertEquals(wanted, model.predict(Map.of("bill_length_mm", 39.1, "bill_depth_mm", 18.7,
          "flipper_length_mm", 181, "island", "Torgersen", "sex", "male"), Species.class));
    }
  }

  @Test
  void aRecordWithoutSomeFeaturesDoesNotKeepThoseOfAnother() {
    try (Model model = Models.open("penguins.onnx")) {
      Species empty = model.predict(new Nothing(), Species.class);
      model.predict(ADELIE, Species.class);
      assertRefused(
          Code.UNKNOWN_NAME, () -> model.predict(Map.of("island", "Biscoe", "colour", "red")));
      assertEquals(empty, model.predict(new Nothing(), Species.class));
      assertEquals(empty.probabilities(), model.predict(Map.of()).get("probabilities"));
    }
  }

  record Kinds(
      @Name("i64") int i64,
      Boolean flag,
      short f32,
      Float f64,
      String word,
      @Name("f32_must") byte f32Must,
      @Name("f64_must") float f64Must,
      @Name("i64_must") Long i64Must,
      @Name("flag_must") boolean flagMust,
      @Name("word_must") Object wordMust) {}

  @Test
  void everyTypeOfJavaIsConvertedAsItsValue() {
    try (Model model = Models.open("kinds.onnx")) {
      Kinds record = new Kinds(7, true, (short) 2, 0.5f, "a", (byte) 3, 0.25f, -4L, true, "b");
      Map<?, ?> fromRecord = model.predict(record, Map.class);
      Map<String, Object> values = new HashMap<>();
      values.putAll(Map.of("i64", BigInteger.valueOf(7), "flag", true, "f32", (byte) 2));
      values.putAll(Map.of("f64", new BigDecimal("0.5"), "word", "a", "f32_must", (short) 3));
      values.putAll(Map.of("f64_must", 0.25f, "i64_must", -4, "flag_must", true));
      values.put("word_must", "b");
      assertSame(fromRecord, model.predict(values));
      values.put("i64_must", new BigDecimal("-4"));
      assertSame(fromRecord, model.predict(values));

      Kinds missing = new Kinds(7, null, (short) 2, null, null, (byte) 3, 0.25f, null, true, "b");
      assertEquals(
          "i64_must",
          assertRefused(Code.MISSING_VALUE, () -> model.predict(missing, Map.class)).name());
      Kinds list = new Kinds(7, true, (short) 2, 0.5f, "a", (byte) 3, 0f, 1L, true, List.of(1));
      SidecallException e =
          assertRefused(Code.DTYPE_MISMATCH, () -> model.predict(list, Map.class));
      assertEquals("word_must", e.name());
      assertTrue(e.got().contains("List"), e.got());
      values.put("i64_must", BigInteger.TWO.pow(64));
      SidecallException tooLarge = assertRefused(Code.OUT_OF_RANGE, () -> model.predict(values));
      assertEquals("i64_must", tooLarge.name());
      values.put("i64_must", 0.5);
      assertRefused(Code.DTYPE_MISMATCH, () -> model.predict(values));
      values.put("i64_must", '4');
      assertEquals(
          "java.lang.Character",
          assertRefused(Code.DTYPE_MISMATCH, () -> model.predict(values)).got());
    }
  }

  record Event(Instant seen, LocalDateTime born, OffsetDateTime due) {}

  record Zoned(ZonedDateTime seen, LocalDate born, Instant due) {}

  record Counts(@Name("seen") double count, String born, String due) {}

  @Test
  void datetimesFollowTheTimeZoneOfTheirFeature() {
    try (Model model = Models.open("dates.onnx")) {
      ZonedDateTime zoned = ZonedDateTime.of(2001, 1, 31, 12, 30, 0, 0, ZoneId.of("Europe/Berlin"));
      LocalDateTime wall = zoned.toLocalDateTime();
      Map<String, Object> asText =
          model.predict(
              Map.of(
                  "seen", "2001-01-31T11:30:00Z",
                  "born", "2001-01-31 12:30:00",
                  "due", "2001-01-31T12:30:00+01:00"));
      assertSame(
          asText, model.predict(Map.of("seen", zoned, "born", wall, "due", zoned.toInstant())));
      Event event = new Event(zoned.toInstant(), wall, zoned.toOffsetDateTime());
      assertSame(asText, model.predict(event, Map.class));
      Zoned atMidnight = new Zoned(zoned, wall.toLocalDate(), Instant.EPOCH);
      Map<?, ?> date = model.predict(atMidnight, Map.class);
      assertSame(
          model.predict(
              Map.of(
                  "seen", "2001-01-31T11:30:00Z",
                  "born", "2001-01-31",
                  "due", "1970-01-01T00:00Z")),
          date);

      SidecallException e =
          assertRefused(
              Code.DTYPE_MISMATCH,
              () -> model.predict(Map.of("seen", zoned, "born", zoned, "due", zoned)));
      assertEquals("born", e.name()); // this feature has no time zone
      assertRefused(
          Code.DTYPE_MISMATCH,
          () -> model.predict(Map.of("seen", wall, "born", zoned.toInstant())));
      // A number counts what the contract says; "due" has no such unit, so it refuses numbers.
      String due = "1970-01-01T00:00Z";
      Map<?, ?> counted = model.predict(new Counts(90, "2001-01-31", due), Map.class);
      assertSame(
          model.predict(Map.of("seen", "1970-01-01T00:01:30Z", "born", "2001-01-31", "due", due)),
          counted);
      for (Object count :
          List.of(90, 90.0, 90f, (short) 90, BigInteger.valueOf(90), new BigDecimal("9E+1"))) {
        assertSame(counted, model.predict(Map.of("seen", count, "born", "2001-01-31", "due", due)));
      }
      assertEquals(
          "due",
          assertRefused(
                  Code.DTYPE_MISMATCH,
                  () -> model.predict(Map.of("seen", 1, "born", wall, "due", 1)))
              .name());
      assertRefused(
          Code.OUT_OF_RANGE,
          () -> model.predict(new Counts(0.0001, "2001-01-31", due), Map.class));
      assertSame(
          model.predict(Map.of("born", "2001-01-31", "due", due)),
          model.predict(new Counts(Double.NaN, "2001-01-31", due), Map.class));
    }
  }

  private static void assertSame(Map<?, ?> wanted, Map<?, ?> got) {
    assertEquals(wanted.keySet(), got.keySet());
    wanted.forEach(
        (name, value) -> {
          if (value instanceof double[] numbers) {
            assertArrayEquals(numbers, (double[]) got.get(name));
          } else if (value instanceof long[] numbers) {
            assertArrayEquals(numbers, (long[]) got.get(name));
          } else {
            assertEquals(value, got.get(name));
          }
        });
  }

  @Test
  void textsOfAnyLengthReachTheModel() {
    try (Model model = Models.open("kinds.onnx")) {
      Map<String, Object> record = new HashMap<>();
      record.putAll(Map.of("f32_must", 1, "f64_must", 2, "i64_must", 3, "flag_must", false));
      for (int length : new int[] {0, 1, 1000, 5000, 100_000}) {
        for (String letter : List.of("a", "ä", "€", "😀")) {
          record.put("word", letter.repeat(length));
          record.put("word_must", "b".repeat(length));
          Map<String, Object> answer = model.predict(record);
          answer.forEach(
              (name, value) -> {
                if (value instanceof String text && name.equals("word")) {
                  assertEquals(record.get("word"), text);
                }
              });
        }
      }
      record.put("word", "a\ud800?");
      assertEquals("word", assertRefused(Code.INVALID_STRING, () -> model.predict(record)).name());
      record.put("word", "a\0b");
      assertEquals("word", assertRefused(Code.INVALID_STRING, () -> model.predict(record)).name());
    }
  }

  record Failing(String island) {
    @Override
    public String island() {
      throw new UnsupportedOperationException("as the test wishes");
    }
  }

  @Test
  void anExceptionOfAnAccessorReachesTheProgram() {
    try (Model model = Models.open("penguins.onnx")) {
      Failing record = new Failing("Biscoe");
      assertThrows(
          UnsupportedOperationException.class, () -> model.predict(record, Species.class));
      CompletableFuture<Species> later = model.predictAsync(record, Species.class);
      CompletionException e = assertThrows(CompletionException.class, later::join);
      assertEquals(UnsupportedOperationException.class, e.getCause().getClass());
      assertEquals("Adelie", model.predict(ADELIE, Species.class).label());
    }
  }

  @Test
  void asynchronousRunsFailWithTheErrorOfTheRun() {
    try (Model model = Models.open("penguins.onnx")) {
      CompletableFuture<Map<String, Object>> future = model.predictAsync(Map.of("island", 1));
      ExecutionException e = assertThrows(ExecutionException.class, future::get);
      SidecallException refused = (SidecallException) e.getCause();
      assertEquals(Code.DTYPE_MISMATCH, refused.code());
      assertEquals(1, refused.faults().size());
      Predictor<Penguin, Species> predictor = model.newPredictor(Penguin.class, Species.class);
      assertEquals("ADELIE", predictor.predictAsync(ADELIE).thenApply(s -> s.label().toUpperCase())
          .join());
      assertRefused(
          Code.INVALID_ARGUMENT, () -> predictor.predict(ADELIE, Duration.ZERO));
      assertRefused(
          Code.INVALID_ARGUMENT, () -> predictor.predictAsync(ADELIE, Duration.ofSeconds(-1)));
      assertEquals("Adelie", predictor.predict(ADELIE, Duration.ofDays(1_000_000)).label());
    }
  }

  @Test
  void aLongRunEndsAtItsDeadlineAndWhenItIsCancelled() throws Exception {
    Options options = Options.DEFAULTS.withEngine(Options.Engine.NATIVE);
    try (Model model = Sidecall.open(Models.path("gbm.onnx"), options)) {
      float[] large = new float[30 * 1_000_000];
      Map<String, Tensor> input =
          Map.of(model.inputs().get(0).name(), Tensor.of(large, large.length / 30, 30));
      assertRefused(Code.TIMEOUT, () -> model.run(input, Duration.ofMillis(2)));
      CompletableFuture<Map<String, Tensor>> future = model.runAsync(input);
      assertTrue(future.cancel(true));
      assertThrows(CancellationException.class, future::get);
      try (Call call = model.newCall(1_000_000)) {
        call.input(0).segment().fill((byte) 0);
        assertRefused(Code.TIMEOUT, () -> call.run(Duration.ofMillis(2)));
        Thread canceller =
            Thread.ofPlatform()
                .start(
                    () -> {
                      while (!Thread.currentThread().isInterrupted()) {
                        call.cancel();
                      }
                    });
        assertRefused(Code.CANCELLED, call::run);
        canceller.interrupt();
        canceller.join();
        call.resize(1); // the call stays usable
        call.setRow(0, new double[30]);
        call.run();
      }
    }
  }

  @Test
  void optionsRefuseWhatIsNoOption() {
    assertRefused(Code.INVALID_ARGUMENT, () -> Options.DEFAULTS.withMaxCalls(0));
    assertRefused(Code.INVALID_ARGUMENT, () -> Options.DEFAULTS.withTimeout(Duration.ZERO));
    assertThrows(NullPointerException.class, () -> Options.DEFAULTS.withVerify(null));
    assertThrows(NullPointerException.class, () -> Sidecall.open("a", null));
    Options late =
        Options.DEFAULTS.withTimeout(Duration.ofNanos(1)).withEngine(Options.Engine.NATIVE);
    try (Model model = Sidecall.open(Models.path("gbm.onnx"), late)) {
      try (Call call = model.newCall(1_000_000)) {
        call.input(0).segment().fill((byte) 0);
        assertRefused(Code.TIMEOUT, call::run);
      }
    }
  }
}
