package dev.sidecall;

import static dev.sidecall.Models.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.LocalDateTime;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

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
        call.input(0);
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

  record Twice(@Name("f32") double first, @Name("f32") Double second) {}

  record OtherClock(@Name("seen") LocalDateTime seen) {}

  @Test
  void typesThatMeanTwoThingsAreRefused() {
    try (Model model = Models.open("kinds.onnx")) {
      assertRefused(Code.INVALID_ARGUMENT, "a second", () -> model.bind(Twice.class, Map.class));
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
