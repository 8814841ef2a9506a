package dev.sidecall;

import static dev.sidecall.Models.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.LocalDateTime;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** Memory that ends too early, types that mean two things, and numbers that are too large. */
class HostileTest {
  private static Call bound(Model model, Arena arena) {
    Call call = model.newCall(1);
    MemorySegment memory = arena.allocate(120, 64);
    call.bindInput(0, Tensor.of(Dtype.FLOAT32, memory, 1, 30));
    return call;
  }

  @Test
  void aCallThatGetsItsOwnNumberOfRowsNoLongerReadsBoundMemory() {
    try (Model model = Models.open("gbm.onnx")) {
      Arena arena = Arena.ofShared();
      try (Call call = bound(model, arena)) {
        call.run();
        call.resize(1);
        arena.close();
        assertRefused(Code.MISSING_INPUT, call::run);
      }
      Arena other = Arena.ofShared();
      try (Call call = bound(model, other)) {
        assertRefused(Code.INVALID_ARGUMENT, () -> call.resize(0));
        other.close();
        assertRefused(Code.INVALID_ARGUMENT, call::run); // still bound, to memory that is gone
        call.clear();
        call.setRow(0, new double[30]);
        call.run();
      }
    }
  }

  @Test
  void aRowIsReadAfterTheModelWasClosed() {
    Model model = Models.open("gbm.onnx");
    try (Call call = model.newCall(1)) {
      model.close();
      call.setRow(0, new double[30]);
      call.run();
      assertEquals(3, call.getRow(0).size());
    }
  }

  @Test
  void aCallThatIsClosedDuringARunEndsSoon() throws Exception {
    try (Model model = Models.open("gbm.onnx")) {
      for (int i = 0; i < 30; ++i) {
        Call call = model.newCall(200_000);
        call.input(0).segment().fill((byte) 0);
        CompletableFuture<Void> run = call.runAsync();
        call.close();
        assertThrows(
            Exception.class,
            () -> {
              run.get(60, TimeUnit.SECONDS);
              throw new IllegalStateException("it ended before it was closed");
            });
      }
    }
  }

  /** Each argument that is null, by the name of its parameter. */
  @Test
  void nullsAreRefusedByTheNameOfTheParameter() {
    Options options = Options.DEFAULTS;
    assertNull("uri", () -> Sidecall.open((String) null));
    assertNull("options", () -> Sidecall.open("gbm.onnx", null));
    assertNull("data", () -> Sidecall.open((byte[]) null, options));
    assertNull("options", () -> Sidecall.describeEngine(null));
    assertNull("timeout", () -> options.withTimeout(null));
    assertNull("wait", () -> options.withWait(null));
    assertNull("engine", () -> options.withEngine(null));
    assertNull("verify", () -> options.withVerify(null));
    assertNull("extra", () -> options.withExtra(null));
    assertNull("path", () -> options.withOnnxruntime(null));
    assertNull("data", () -> Tensor.of((float[]) null, 1));
    assertNull("data", () -> Tensor.of(Dtype.INT8, null, 1));
    assertNull("dtype", () -> Tensor.ofRaw(null, new byte[1], 1));
    assertNull("shape", () -> Tensor.of(new float[1], (long[]) null));
    try (Model model = Models.open("kinds.onnx");
        Call call = model.newCall(1)) {
      Predictor<Map<?, ?>, Map<?, ?>> predictor = maps(model);
      assertNull("record", () -> model.newPredictor(null, Map.class));
      assertNull("answer", () -> model.newPredictor(Map.class, null));
      assertNull("record", () -> model.predict((Map<String, Object>) null));
      assertNull("record", () -> model.predict(null, Map.class));
      assertNull("answer", () -> model.predict(Map.of(), (Class<?>) null));
      assertNull("record", () -> model.predictAsync((Map<String, Object>) null));
      assertNull("timeout", () -> model.predict(Map.of(), (java.time.Duration) null));
      assertNull("records", () -> predictor.predictMany(null));
      assertNull("records[1]", () -> predictor.predictMany(Arrays.asList(Map.of(), null)));
      assertNull("records", () -> predictor.predictManyAsync(null));
      assertNull("inputs", () -> model.run(null));
      assertNull("inputs", () -> model.runAsync(null));
      assertNull("json", () -> model.predictJson((String) null));
      assertNull("json", () -> model.predictJson((byte[]) null));
      assertNull("name", () -> model.feature(null));
      assertNull("name", () -> model.column(null));
      assertNull("name", () -> model.input(null));
      assertNull("name", () -> model.output(null));
      assertNull("value", () -> call.setString(0, 0, null));
      assertNull("value", () -> call.setInstant(0, 0, null));
      assertNull("value", () -> call.setWallClock(0, 0, null));
      assertNull("values", () -> call.setRow(0, (List<?>) null));
      assertNull("values", () -> call.setRow(0, (double[]) null));
      assertNull("values", () -> call.setRow(0, new int[0], null));
      assertNull("features", () -> call.setRow(0, null, new double[0]));
      assertNull("values", () -> call.setFeature(0, (double[]) null, null));
      assertNull("values", () -> call.setFeature(0, (long[]) null, null));
      assertNull("values", () -> call.setFeature(0, (boolean[]) null, null));
      assertNull("values", () -> call.setFeature(0, (String[]) null, null));
      assertNull("out", () -> call.getRow(0, null));
      assertNull("columns", () -> call.getRow(0, null, new double[0]));
      assertNull("out", () -> call.getColumn(0, (double[]) null));
      assertNull("out", () -> call.getColumn(0, (long[]) null));
      assertNull("tensor", () -> call.copyInput(0, null));
      assertNull("tensor", () -> call.bindInput(0, null));
      assertNull("shape", () -> call.reshape(0, (long[]) null));
      assertNull("timeout", () -> call.run(null));
      int word = model.input("word_must");
      assertNull("data[1]", () -> call.copyInput(word, Tensor.of(new String[] {"b", null}, 2, 1)));
      byte[][] texts = {{'b'}, null};
      assertNull("data[1]", () -> call.copyInput(word, Tensor.ofUtf8(texts, 2, 1)));
      call.setString(0, model.feature("word_must"), "b"); // it stays usable
    }
  }

  @SuppressWarnings("unchecked")
  private static Predictor<Map<?, ?>, Map<?, ?>> maps(Model model) {
    Predictor<?, ?> predictor = model.newPredictor(Map.class, Map.class);
    return (Predictor<Map<?, ?>, Map<?, ?>>) predictor;
  }

  private static void assertNull(String name, Executable executable) {
    NullPointerException e = assertThrows(NullPointerException.class, executable);
    assertEquals(name, e.getMessage());
  }

  record Twice(@Name("f32") double first, @Name("f32") Double second) {}

  record OtherClock(@Name("seen") LocalDateTime seen) {}

  @Test
  void typesThatMeanTwoThingsAreRefused() {
    try (Model model = Models.open("kinds.onnx")) {
      assertRefused(
          Code.INVALID_ARGUMENT, "a second", () -> model.newPredictor(Twice.class, Map.class));
    }
    try (Model model = Models.open("dates.onnx");
        Call call = model.newCall(1)) {
      LocalDateTime noon = LocalDateTime.parse("2001-01-31T12:00");
      Map<String, Object> record = new HashMap<>();
      record.put("seen", noon);
      record.put("born", noon);
      record.put("due", "2001-01-31T12:30:00+01:00");
      SidecallException e = assertRefused(Code.DTYPE_MISMATCH, () -> model.predict(record));
      assertEquals("seen", e.name());
      int seen = model.feature("seen");
      assertRefused(Code.DTYPE_MISMATCH, () -> call.setWallClock(0, seen, noon));
      record.put("seen", Double.NaN); // missing
      model.predict(record);
    }
  }

  @Test
  void largeNumbersAreExactOrRefused() {
    try (Model model = Models.open("kinds.onnx")) {
      Map<String, Object> record = new HashMap<>();
      record.put("f32_must", 1);
      record.put("f64_must", 2);
      record.put("flag_must", true);
      record.put("word_must", "b");
      for (Object exact : new Object[] {
        BigInteger.valueOf(Long.MAX_VALUE),
        new BigDecimal("9223372036854775807.0"),
        new BigDecimal("1E3"),
      }) {
        record.put("i64_must", exact);
        model.predict(record);
      }
      record.put("i64_must", BigInteger.ONE.shiftLeft(63));
      assertRefused(Code.OUT_OF_RANGE, () -> model.predict(record));
      record.put("i64_must", 3);
      for (Object large : new Object[] {BigInteger.TEN.pow(400), new BigDecimal("1E1000000")}) {
        record.put("f64_must", large);
        SidecallException e = assertRefused(Code.DTYPE_MISMATCH, () -> model.predict(record));
        assertEquals("a number beyond float64", e.got());
      }
    }
  }
}
