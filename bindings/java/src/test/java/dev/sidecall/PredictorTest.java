package dev.sidecall;

import static dev.sidecall.Models.ADELIE;
import static dev.sidecall.Models.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.sidecall.Models.Species;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Which types of components fit the features and columns of a model. */
class PredictorTest {
  private static final Instant THEN = Instant.ofEpochSecond(1_000);

  /** A value of each type of components; more if the value decides, too. */
  private static final Map<Class<?>, List<Object>> VALUES =
      Map.ofEntries(
          Map.entry(double.class, List.of(1.0, 0.5)),
          Map.entry(float.class, List.of(1f, 0.5f)),
          Map.entry(long.class, List.of(1L)),
          Map.entry(int.class, List.of(1)),
          Map.entry(short.class, List.of((short) 1)),
          Map.entry(byte.class, List.of((byte) 1)),
          Map.entry(Double.class, List.of(1.0, 0.5)),
          Map.entry(Float.class, List.of(1f, 0.5f)),
          Map.entry(Long.class, List.of(1L)),
          Map.entry(Integer.class, List.of(1)),
          Map.entry(Short.class, List.of((short) 1)),
          Map.entry(Byte.class, List.of((byte) 1)),
          Map.entry(BigDecimal.class, List.of(BigDecimal.ONE, new BigDecimal("0.5"))),
          Map.entry(BigInteger.class, List.of(BigInteger.ONE)),
          Map.entry(boolean.class, List.of(true)),
          Map.entry(Boolean.class, List.of(false)),
          Map.entry(String.class, List.of("1", "2001-01-31", "2001-01-31T12:00Z")),
          Map.entry(Instant.class, List.of(THEN)),
          Map.entry(ZonedDateTime.class, List.of(THEN.atZone(ZoneOffset.UTC))),
          Map.entry(OffsetDateTime.class, List.of(THEN.atOffset(ZoneOffset.UTC))),
          Map.entry(LocalDateTime.class, List.of(LocalDateTime.parse("1970-01-01T00:00:01"))),
          Map.entry(LocalDate.class, List.of(LocalDate.EPOCH)),
          Map.entry(Object.class, List.of(1, true, "1", THEN, LocalDate.EPOCH)));

  private static Map<String, Object> complete(String name) {
    return name.equals("dates.onnx")
        ? Map.of("born", "2001-01-31", "due", "1970-01-01T00:00Z")
        : Map.of(
            "f32_must", 1, "f64_must", 1, "i64_must", 1, "flag_must", true, "word_must", "a");
  }

  /** The map is checked by the library, and the types by this module. */
  @Test
  void aTypeFitsIfTheLibraryTakesAValueOfIt() {
    int checked = 0;
    for (String name : List.of("kinds.onnx", "dates.onnx")) {
      try (Model model = Models.open(name)) {
        for (FeatureSpec feature : model.features()) {
          for (Map.Entry<Class<?>, List<Object>> type : VALUES.entrySet()) {
            boolean isTaken = false;
            for (Object value : type.getValue()) {
              Map<String, Object> record = new HashMap<>(complete(name));
              record.put(feature.name(), value);
              isTaken |= isTaken(model, record, feature);
            }
            String what = feature + " with " + type.getKey();
            assertTrue(FeatureTypes.isKnown(type.getKey()), what);
            assertEquals(isTaken, FeatureTypes.fits(type.getKey(), feature), what);
            ++checked;
          }
        }
      }
    }
    assertEquals(14 * VALUES.size(), checked);
  }

  private static boolean isTaken(Model model, Map<String, Object> record, FeatureSpec feature) {
    try {
      model.predict(record);
      return true;
    } catch (SidecallException e) {
      assertEquals(feature.name(), e.name(), e.getMessage());
      return e.code() != Code.DTYPE_MISMATCH;
    }
  }

  record NumberForText(double island) {}

  record TextForNumber(@Name("bill_length_mm") String length) {}

  record BooleanForInteger(Boolean year) {}

  record TimeForText(Instant sex) {}

  record NumberForBoolean(int flag, Object rest) {}

  record WallClock(LocalDateTime seen, Object born, Object due) {}

  record Point(Object seen, ZonedDateTime born, Object due) {}

  record Count(Object born, long due) {}

  @Test
  void componentsThatNeverFitAreRefusedByTheNameOfTheirFeature() {
    try (Model penguins = Models.open("penguins.onnx");
        Model kinds = Models.open("kinds.onnx");
        Model dates = Models.open("dates.onnx")) {
      assertNeverFits(penguins, NumberForText.class, "island", "string", "double");
      assertNeverFits(
          penguins, TextForNumber.class, "bill_length_mm", "float32", "java.lang.String");
      assertNeverFits(penguins, BooleanForInteger.class, "year", "int64", "java.lang.Boolean");
      assertNeverFits(penguins, TimeForText.class, "sex", "string", "java.time.Instant");
      assertNeverFits(kinds, NumberForBoolean.class, "flag", "bool", "int");
      assertNeverFits(
          dates,
          WallClock.class,
          "seen",
          "a datetime with a time zone",
          "java.time.LocalDateTime");
      assertNeverFits(
          dates,
          Point.class,
          "born",
          "a datetime without a time zone",
          "java.time.ZonedDateTime");
      assertNeverFits(
          dates,
          Count.class,
          "due",
          "a datetime with a time zone",
          "long, a number, for which the contract has no 'epoch'");
      SidecallException e =
          assertRefused(
              Code.DTYPE_MISMATCH,
              "component length of dev.sidecall.PredictorTest$TextForNumber: feature"
                  + " 'bill_length_mm': expected float32, got java.lang.String",
              () -> penguins.predict(new TextForNumber("39.1"), Species.class));
      assertEquals(Family.DATA, e.family());
    }
  }

  private static void assertNeverFits(
      Model model, Class<?> record, String name, String expected, String got) {
    SidecallException e =
        assertRefused(
            Code.DTYPE_MISMATCH,
            "feature '" + name + "': expected " + expected + ", got " + got,
            () -> model.newPredictor(record, Map.class));
    assertEquals(List.of(name, expected, got), List.of(e.name(), e.expected(), e.got()));
  }

  record Born(LocalDate born) {}

  record BornAndDue(LocalDate born, String due) {}

  record Whole(
      @Name("f32_must") int f32,
      @Name("f64_must") Long f64,
      @Name("i64_must") double i64,
      @Name("flag_must") boolean flag,
      @Name("word_must") Object word) {}

  @Test
  void aRecordWithoutAFeatureThatTheModelNeedsIsRefusedWhenItIsBound() {
    try (Model dates = Models.open("dates.onnx");
        Model kinds = Models.open("kinds.onnx")) {
      SidecallException e =
          assertRefused(
              Code.MISSING_VALUE,
              "feature 'due', which may not be missing: expected a component of"
                  + " dev.sidecall.PredictorTest$Born, got none",
              () -> dates.newPredictor(Born.class, Map.class));
      assertEquals(
          List.of("due", "datetime", "no component"), List.of(e.name(), e.expected(), e.got()));
      assertRefused(
          Code.MISSING_VALUE, "'due'", () -> dates.predict(new Born(LocalDate.EPOCH), Map.class));
      // The library gives the same code when a record lacks the feature.
      assertEquals(
          "due",
          assertRefused(
                  Code.MISSING_VALUE, () -> dates.predict(Map.of("born", LocalDate.EPOCH)))
              .name());
      dates.predict(new BornAndDue(LocalDate.EPOCH, "1970-01-01T00:00Z"), Map.class);
      dates.newPredictor(Map.class, Map.class);

      // Objects and whole numbers are checked by the run.
      Predictor<Whole, ?> whole = kinds.newPredictor(Whole.class, Map.class);
      whole.predict(new Whole(1, 2L, 3, true, "a"));
      assertEquals(
          "word_must",
          assertRefused(Code.DTYPE_MISMATCH, () -> whole.predict(new Whole(1, 2L, 3, true, 4)))
              .name());
      assertEquals(
          "i64_must",
          assertRefused(
                  Code.DTYPE_MISMATCH, () -> whole.predict(new Whole(1, 2L, 0.5, true, "a")))
              .name());
      assertEquals(
          "f64_must",
          assertRefused(
                  Code.MISSING_VALUE, () -> whole.predict(new Whole(1, null, 3, true, "a")))
              .name());
    }
  }

  @Test
  void aMapOfFloatsIsARecord() {
    try (Model gbm = Models.open("gbm.onnx");
        Model penguins = Models.open("penguins.onnx");
        Model kinds = Models.open("kinds.onnx")) {
      Map<String, Float> floats = new LinkedHashMap<>();
      Map<String, Double> doubles = new LinkedHashMap<>();
      for (FeatureSpec feature : gbm.features()) {
        floats.put(feature.name(), 0.3f);
        doubles.put(feature.name(), (double) 0.3f);
      }
      assertEquals(gbm.predict(doubles), gbm.predict(floats));
      assertEquals(List.of(gbm.predict(doubles)), gbm.predictMany(List.of(floats)));
      Map<String, Float> wrong = Map.of("island", 1f);
      SidecallException e =
          assertRefused(
              Code.DTYPE_MISMATCH,
              "feature 'island': expected string, got float64",
              () -> penguins.predict(wrong));
      assertEquals(
          List.of("island", "string", "float64"), List.of(e.name(), e.expected(), e.got()));
      Map<String, Object> half = new HashMap<>(complete("kinds.onnx"));
      half.put("i64", 0.5f);
      assertRefused(
          Code.DTYPE_MISMATCH,
          "feature 'i64': expected int64, got float64",
          () -> kinds.predict(half));
      half.put("i64", 2f);
      half.put("f32", Float.NaN); // missing
      kinds.predict(half);
    }
  }

  record Floats(
      @Name("probabilities.Gentoo") Float gentoo,
      @Name("probabilities") Map<String, Float> map,
      @Name("probabilities") List<Float> list,
      @Name("probabilities") Map<String, Double> doubles) {}

  record FloatsOfDoubles(List<Float> transformed) {}

  record Doubles(List<Double> transformed) {}

  record IntsOfLongs(Map<String, Integer> transformed) {}

  record FloatOfDouble(@Name("transformed.0") Float first) {}

  @Test
  void anAnswerHasFloatsIfTheColumnsAreFloat32() {
    try (Model penguins = Models.open("penguins.onnx");
        Model kinds = Models.open("kinds.onnx");
        Model dates = Models.open("dates.onnx")) {
      Floats answer = penguins.predict(ADELIE, Floats.class);
      assertEquals(List.copyOf(answer.doubles().keySet()), List.copyOf(answer.map().keySet()));
      answer.map().forEach((name, p) -> assertEquals(answer.doubles().get(name), (double) p));
      assertEquals(List.copyOf(answer.map().values()), answer.list());
      assertEquals(answer.gentoo(), answer.map().get("Gentoo"));
      SidecallException e =
          assertRefused(
              Code.DTYPE_MISMATCH,
              "component transformed of dev.sidecall.PredictorTest$FloatsOfDoubles: output"
                  + " 'transformed': expected float64 (Map<String, Double>, List<Double> or"
                  + " double[]), got java.util.List<java.lang.Float>",
              () -> kinds.newPredictor(Map.class, FloatsOfDoubles.class));
      assertEquals(
          List.of("transformed", "float64", "java.util.List<java.lang.Float>"),
          List.of(e.name(), e.expected(), e.got()));
      assertRefused(
          Code.DTYPE_MISMATCH,
          "column 'transformed.0': expected float64, got java.lang.Float",
          () -> kinds.newPredictor(Map.class, FloatOfDouble.class));
      kinds.newPredictor(Map.class, Doubles.class);
      assertRefused(
          Code.DTYPE_MISMATCH,
          "expected int64 (Map<String, Long>, List<Long> or long[])",
          () -> dates.newPredictor(Map.class, IntsOfLongs.class));
    }
  }

  /** No model of the tests has a contract and columns of small integers. */
  @Test
  void smallIntegersAreElementsOfTypeInteger() {
    try (Model model = Models.open("identity_int32.onnx")) {
      Workspace w = model.core().openWorkspace(1);
      w.check(Native.copyInput(w.call, 0, Tensor.of(new int[] {-7}, 1).toView(w), w.error));
      w.check(w.run(-1));
      w.expect(1);
      w.getRow(0, new Writer.OfMap(model.columns()));
      assertEquals(Map.of("y", -7), Answers.map(0, List.of("y"), Integer.class, w));
      assertEquals(List.of(-7L), Answers.list(0, List.of("y"), Long.class, w));
      assertEquals(List.of(-7L), Answers.list(0, List.of("y"), Object.class, w));
      w.close();
    }
  }
}
