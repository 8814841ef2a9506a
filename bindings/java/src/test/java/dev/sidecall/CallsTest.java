package dev.sidecall;

import static dev.sidecall.Models.assertRefused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

class CallsTest {
  @Test
  void filesThatCannotBeOpenedAreRefusedWithTheirReason() {
    Map<String, Code> cases =
        Map.of(
            "/nowhere/fraud.onnx", Code.FILE_NOT_FOUND,
            "a\0b", Code.INVALID_ARGUMENT,
            "exec:true", Code.INVALID_ARGUMENT,
            "shm:/tmp/without-server.sock", Code.UNREACHABLE);
    cases.forEach((uri, code) -> assertRefused(code, () -> Sidecall.open(uri)));
    SidecallException e =
        assertRefused(
            Code.FILE_NOT_FOUND,
            "/nowhere/fraud.onnx",
            () -> Sidecall.open("/nowhere/fraud.onnx"));
    assertEquals(Family.FILE, e.family());
    assertEquals(-1, e.row());
    assertFalse(e.isRetryable());
    assertEquals("", e.report());
    assertRefused(
        Code.FILE_INVALID, () -> Sidecall.open("not a model".getBytes(), Options.DEFAULTS));
    assertRefused(Code.FILE_INVALID, () -> Sidecall.open(new byte[0], Options.DEFAULTS));
    assertRefused(
        Code.ENGINE_NOT_FOUND,
        () -> Sidecall.describeEngine(Options.DEFAULTS.withOnnxruntime("/nowhere/libort.so")));
    assertThrows(NullPointerException.class, () -> Sidecall.open((String) null));
  }

  @Test
  void aModelTellsWhatItIs() throws IOException {
    try (Model model = Models.open("penguins.onnx");
        Model same =
            Sidecall.open(
                Files.readAllBytes(Path.of(Models.path("penguins.onnx"))), Options.DEFAULTS)) {
      assertTrue(model.engine().startsWith("native"));
      assertFalse(model.engineReason().isEmpty());
      assertEquals(64, model.id().length());
      assertEquals("", model.warning());
      assertEquals('{', model.contract().charAt(0));
      assertEquals("penguins", model.name());
      assertFalse(model.version().isEmpty());
      assertTrue(model.verify().contains("\"holds\":true"));
      assertEquals(7, model.features().size());
      assertEquals("island", model.features().get(0).name());
      assertEquals(Dtype.STRING, model.features().get(0).dtype());
      assertTrue(model.features().get(0).isNullable());
      ColumnSpec adelie = model.columns().get(model.column("probabilities.Adelie"));
      assertEquals("probabilities", adelie.output());
      assertEquals("Adelie", adelie.key());
      assertEquals(ColumnSpec.Form.MEMBER, adelie.form());
      assertTrue(model.outputs().get(0).hasRows());
      assertEquals(-1, model.inputs().get(0).shape().get(0));
      assertEquals(model.inputs().get(0).shape().size(), model.inputs().get(0).dimNames().size());
      assertEquals(model.id(), same.id());
      assertRefused(Code.UNKNOWN_NAME, "'labels'", () -> model.column("labels"));
      assertRefused(Code.UNKNOWN_NAME, () -> model.feature("größe"));
      assertRefused(Code.UNKNOWN_NAME, () -> model.input(""));
      assertRefused(Code.UNKNOWN_NAME, () -> model.output("y"));
      assertRefused(Code.INVALID_JSON, () -> model.predictJson("{"));
      assertRefused(Code.INVALID_JSON, () -> model.predictJson(new byte[] {(byte) 0xFF}));
    }
    assertTrue(Sidecall.version().matches("[0-9.]+"));
    assertTrue(Sidecall.describeEngine().contains("\"engine\""));
    for (Dtype dtype : Dtype.values()) {
      assertEquals(Native.dtypeBits(dtype.number()), dtype.bits(), dtype.toString());
    }
  }

  @Test
  void aModelThatGivesOtherAnswersThanAtExportIsRefusedWithItsReport() throws IOException {
    String path = Models.path("verification/first_row.onnx");
    assertRefused(Code.VERIFICATION_FAILED, "golden row 0", () -> Sidecall.open(path));
    Options warn = Options.DEFAULTS.withVerify(Options.Verify.WARN);
    try (Model model = Sidecall.open(path, warn)) {
      assertTrue(model.warning().contains("golden row 0"), model.warning());
      SidecallException e = assertRefused(Code.VERIFICATION_FAILED, model::verify);
      assertTrue(e.report().contains("\"failure\""), e.report());
    }
    try (Model model = Sidecall.open(path, warn.withVerify(Options.Verify.OFF))) {
      assertEquals("", model.warning());
    }
  }

  @Test
  void aClosedModelIsRefusedAndItsCallsStayUsable() {
    Model model = Models.open("gbm.onnx");
    Predictor<?, ?> predictor = model.newPredictor(Map.class, Map.class);
    Call call = model.newCall(1);
    assertRefused(Code.MISSING_VALUE, () -> model.predictJson("{}"));
    model.close();
    model.close();
    List<Executable> uses =
        List.of(
            () -> model.predict(Map.of()),
            () -> model.predictMany(List.of(Map.of())),
            () -> model.predictMany(List.of()),
            () -> model.predict(Models.ADELIE, Map.class),
            () -> predictor.predict(null, java.time.Duration.ofSeconds(1)),
            () -> model.predictJson("{}"),
            () -> model.newCall(1),
            () -> model.feature("x0"),
            () -> model.verify(),
            () -> model.name(),
            () -> model.contract(),
            () -> model.features(),
            () -> model.columns(),
            () -> model.inputs(),
            () -> model.outputs(),
            () -> model.run(Map.of()),
            () -> model.newPredictor(Map.class, Map.class),
            () -> model.predictAsync(Map.of()));
    for (Executable use : uses) {
      if (use != uses.get(4)) {
        assertRefused(Code.INVALID_ARGUMENT, "expected an open model, got a closed one", use);
      }
    }
    call.setRow(0, new double[30]);
    call.run();
    call.close();
    call.close();
    List<Executable> uses2 =
        List.of(
            () -> call.run(),
            () -> call.runAsync(),
            () -> call.rows(),
            () -> call.setDouble(0, 0, 1),
            () -> call.getRow(0),
            () -> call.input(0),
            () -> call.resize(2));
    for (Executable use : uses2) {
      assertRefused(Code.INVALID_ARGUMENT, "expected an open call, got a closed one", use);
    }
    call.cancel();
  }

  @Test
  void tensorsAreCopiedBoundOrWrittenInPlace() {
    float[] six = {1, 2, 3, 4, 5, 6};
    Tensor a = Tensor.of(six, 3, 2);
    Tensor b = Tensor.of(new float[] {1, 0, 0, 1}, 2, 2);
    try (Model model = Models.open("matmul.onnx");
        Arena arena = Arena.ofShared();
        Call call = model.newCall(1)) {
      Tensor y = model.run(Map.of("a", a, "b", b)).get("y");
      assertArrayEquals(six, y.floats());
      assertArrayEquals(new long[] {3, 2}, y.shape());
      assertRefused(Code.DTYPE_MISMATCH, y::doubles);

      int first = model.input("a");
      int second = model.input("b");
      int result = model.output("y");
      View before = call.output(result);
      assertRefused(Code.NOT_RUN, before::segment);
      assertRefused(Code.NOT_RUN, before::toTensor);
      MemorySegment memory = arena.allocate(24);
      call.bindInput(first, Tensor.of(Dtype.FLOAT32, memory, 3, 2));
      call.reshape(second, 2, 2);
      View view = call.input(second);
      assertArrayEquals(new long[] {2, 2}, view.shape());
      MemorySegment.copy(
          new float[] {2, 0, 0, 2}, 0, view.segment(), ValueLayout.JAVA_FLOAT, 0, 4);
      View output = null;
      for (float factor : new float[] {1, 10}) {
        for (int i = 0; i < 6; ++i) {
          memory.setAtIndex(ValueLayout.JAVA_FLOAT, i, factor * i);
        }
        System.gc();
        call.run();
        output = call.output(result);
        assertEquals(2 * factor * 5, output.segment().getAtIndex(ValueLayout.JAVA_FLOAT, 5));
        assertEquals(Dtype.FLOAT32, output.dtype());
        assertRefused(Code.DTYPE_MISMATCH, () -> call.output(result).text(0));
      }
      assertSame(output, call.output(result));
      assertThrows(
          IndexOutOfBoundsException.class,
          () -> call.output(result).segment().getAtIndex(ValueLayout.JAVA_FLOAT, 6));

      assertRefused(
          Code.DTYPE_MISMATCH, () -> call.copyInput(first, Tensor.of(new long[] {1}, 1, 1)));
      assertRefused(
          Code.SHAPE_MISMATCH, () -> call.copyInput(first, Tensor.of(new float[2], 3, 2)));
      assertRefused(Code.SHAPE_MISMATCH, () -> call.copyInput(first, Tensor.of(new float[2])));
      assertRefused(
          Code.SHAPE_MISMATCH, () -> call.copyInput(first, Tensor.of(new float[2], -1, 2)));
      assertRefused(Code.UNKNOWN_NAME, () -> call.copyInput(-1, a));
      assertRefused(Code.INVALID_ARGUMENT, () -> call.copyInput(2, a));
      assertRefused(Code.INVALID_ARGUMENT, () -> call.bindInput(first, a));
      assertRefused(Code.UNKNOWN_NAME, () -> call.input(-1));
      assertRefused(Code.INVALID_ARGUMENT, () -> call.output(1));
      assertRefused(Code.SHAPE_MISMATCH, () -> call.reshape(first, 1, 2, 3));
      assertRefused(Code.UNKNOWN_NAME, () -> model.run(Map.of("a", a, "c", b)));
      assertRefused(Code.MISSING_INPUT, () -> model.run(Map.of("a", a)));
      Map<String, Tensor> withNull = new HashMap<>();
      withNull.put("a", a);
      withNull.put("b", null);
      assertRefused(Code.INVALID_ARGUMENT, () -> model.run(withNull));
      assertRefused(Code.UNKNOWN_NAME, () -> model.runAsync(Map.of("c", a)));
    }
  }

  @Test
  void aTensorRefusesElementsOfAnotherSize() {
    assertRefused(Code.INVALID_ARGUMENT, () -> Tensor.ofRaw(Dtype.UINT8, new short[1], 1));
    assertRefused(Code.INVALID_ARGUMENT, () -> Tensor.ofRaw(Dtype.UINT8, "text", 1));
    assertRefused(Code.INVALID_ARGUMENT, () -> Tensor.ofRaw(Dtype.STRING, new byte[1], 1));
    assertRefused(
        Code.INVALID_ARGUMENT,
        () -> Tensor.of(Dtype.STRING, MemorySegment.ofArray(new byte[1]), 1));
    assertThrows(NullPointerException.class, () -> Tensor.of((float[]) null, 1));
    MemorySegment heap = MemorySegment.ofArray(new byte[] {1, 0, 2, 0, 0, 0, 0, 0});
    assertArrayEquals(new short[] {1, 2, 0, 0}, Tensor.of(Dtype.UINT16, heap, 4).shorts());
    assertArrayEquals(new int[] {0x20001, 0}, Tensor.of(Dtype.INT32, heap, 2).ints());
    assertArrayEquals(new long[] {0x20001}, Tensor.of(Dtype.UINT64, heap, 1).longs());
    assertEquals(8, Tensor.of(Dtype.INT4, heap, 16).bytes().length);
    assertTrue(Tensor.of(Dtype.BOOL, heap, 8).booleans()[0]);
    assertEquals(0x20001 * 0x1p-1074, Tensor.of(Dtype.FLOAT64, heap, 1).doubles()[0]);
    assertEquals(2, Tensor.of(Dtype.FLOAT32, heap, 2).floats().length);
    assertRefused(Code.DTYPE_MISMATCH, () -> Tensor.of(Dtype.BOOL, heap, 8).bytes());
    assertRefused(Code.DTYPE_MISMATCH, () -> Tensor.of(Dtype.FLOAT32, heap, 2).ints());
    assertEquals("float32[2, 1]", Tensor.of(new float[2], 2, 1).toString());
  }

  @Test
  void viewsCannotBeUsedWhenTheirMemoryIsGone() {
    Model model = Models.open("gbm.onnx");
    int rows = 4;
    Call call = model.newCall(rows);
    MemorySegment input = call.input(0).segment().fill((byte) 0);
    call.run();
    View firstView = call.output(0);
    int numbers = model.outputs().get(0).dtype() == Dtype.STRING ? 1 : 0;
    MemorySegment output = call.output(numbers).segment();
    call.run();
    output.get(ValueLayout.JAVA_BYTE, 0); // the shape is the same, so the memory is too
    input.set(ValueLayout.JAVA_FLOAT, 0, 1);
    call.copyInput(0, Tensor.of(new float[2 * 30], 2, 30));
    assertThrows(IllegalStateException.class, () -> input.get(ValueLayout.JAVA_FLOAT, 0));
    call.run();
    assertThrows(IllegalStateException.class, () -> output.get(ValueLayout.JAVA_BYTE, 0));
    MemorySegment second = call.output(numbers).segment();
    call.resize(3);
    assertThrows(IllegalStateException.class, () -> second.get(ValueLayout.JAVA_BYTE, 0));
    MemorySegment third = call.input(0).segment().fill((byte) 0);
    call.run();
    MemorySegment fourth = call.output(numbers).segment();
    model.close();
    third.get(ValueLayout.JAVA_BYTE, 0);
    call.close();
    assertThrows(IllegalStateException.class, () -> third.get(ValueLayout.JAVA_BYTE, 0));
    assertThrows(IllegalStateException.class, () -> fourth.get(ValueLayout.JAVA_BYTE, 0));
    assertEquals(Dtype.class, firstView.dtype().getClass());
  }

  @Test
  void boundMemoryThatWasReleasedIsNotRead() {
    try (Model model = Models.open("identity_float32.onnx");
        Call call = model.newCall(1)) {
      Arena arena = Arena.ofShared();
      long rank = model.inputs().get(0).shape().size();
      long[] shape = rank == 1 ? new long[] {2} : new long[] {2, 1};
      MemorySegment memory = arena.allocate(8);
      memory.set(ValueLayout.JAVA_FLOAT, 4, 7);
      call.bindInput(0, Tensor.of(Dtype.FLOAT32, memory, shape));
      call.run();
      assertArrayEquals(new float[] {0, 7}, call.output(0).toTensor().floats());
      call.runAsync().join();
      arena.close();
      assertRefused(Code.INVALID_ARGUMENT, "closed arena", call::run);
      assertRefused(Code.INVALID_ARGUMENT, "closed arena", call::runAsync);
      call.copyInput(0, Tensor.of(new float[] {1, 2}, shape));
      call.run();
      call.bindInput(0, Tensor.of(Dtype.FLOAT32, Arena.ofAuto().allocate(8), shape));
      System.gc(); // the call keeps the memory
      call.run();
      assertArrayEquals(new float[2], call.output(0).toTensor().floats());
    }
  }

  @Test
  void stringsAreCopiedAndRead() {
    try (Model model = Models.open("identity_string.onnx");
        Call call = model.newCall(1)) {
      String[] texts = {"a", "", "größe", "😀"};
      Tensor given = Tensor.of(texts, 4);
      assertArrayEquals(texts, model.run(Map.of("x", given)).get("y").strings());
      call.copyInput(0, given);
      call.run();
      View view = call.output(0);
      assertEquals("größe", view.text(2));
      assertEquals("", view.text(1));
      assertThrows(IndexOutOfBoundsException.class, () -> view.text(4));
      assertThrows(IndexOutOfBoundsException.class, () -> view.text(-1));
      assertRefused(Code.DTYPE_MISMATCH, view::segment);
      byte[][] encoded = {"ß".getBytes(StandardCharsets.UTF_8)};
      call.copyInput(0, Tensor.ofUtf8(encoded, 1));
      assertEquals("a", view.text(0)); // the results stay until the next run
      call.run();
      assertThrows(IllegalStateException.class, () -> view.text(0));
      assertEquals("ß", call.output(0).text(0));
      assertEquals("ß", Tensor.ofUtf8(encoded, 1).strings()[0]);
      assertRefused(Code.NOT_RUN, () -> call.input(0).text(0));
      Tensor empty = Tensor.of(new String[0], 0);
      assertRefused(Code.SHAPE_MISMATCH, () -> model.run(Map.of("x", empty)));
      Tensor bad = Tensor.ofUtf8(new byte[][] {{'a'}, {(byte) 0xFF}}, 2);
      assertRefused(Code.INVALID_STRING, () -> model.run(Map.of("x", bad)));
      Tensor half = Tensor.of(new String[] {"\udc00"}, 1);
      assertRefused(Code.INVALID_STRING, () -> model.run(Map.of("x", half)));
      assertThrows(
          NullPointerException.class,
          () -> model.run(Map.of("x", Tensor.of(new String[] {null}, 1))));
    }
  }

  @Test
  void aTableIsSetAndReadByColumns() {
    try (Model model = Models.open("penguins.onnx");
        Call call = model.newCall(2)) {
      int label = model.column("label");
      int adelie = model.column("probabilities.Adelie");
      int mass = model.feature("body_mass_g");
      call.clear();
      assertRefused(Code.NOT_RUN, () -> call.getDouble(0, adelie));
      call.setFeature(model.feature("bill_length_mm"), new double[] {39.1, 50}, null);
      call.setFeature(
          model.feature("bill_depth_mm"), new double[] {18.7, 0}, new boolean[] {false, true});
      call.setFeature(model.feature("island"), new String[] {"Torgersen", "Biscoe"}, null);
      call.setFeature(model.feature("sex"), new String[] {null, "female"}, null);
      call.run();
      double[] column = new double[2];
      call.getColumn(adelie, column);
      for (int row = 0; row < 2; ++row) {
        assertEquals(column[row], call.getDouble(row, adelie));
        List<Object> all = call.getRow(row);
        assertEquals(call.getString(row, label), all.get(label));
        assertEquals(column[row], all.get(adelie));
        double[] one = new double[1];
        call.getRow(row, new int[] {adelie}, one);
        assertEquals(column[row], one[0]);
      }
      double first = column[0];
      call.setMissing(0, model.feature("sex"));
      call.setString(1, model.feature("sex"), "female");
      call.run();
      assertEquals(first, call.getDouble(0, adelie));
      assertEquals(2, call.rows());

      boolean[] flag = {true};
      double[] two = {1, 2};
      List<Executable> wrong =
          List.of(
              () -> call.setFeature(mass, new double[1], null),
              () -> call.setFeature(mass, two, flag),
              () -> call.setFeature(model.feature("sex"), new String[] {"a", null}, flag),
              () -> call.setFeature(mass, new String[0], null),
              () -> call.getColumn(adelie, new double[3]),
              () -> call.setRow(0, new int[] {0}, two),
              () -> call.getRow(0, new int[] {0}, two),
              () -> call.setDouble(2, mass, 1),
              () -> call.setDouble(0, 99, 1),
              () -> call.setRow(0, List.of()),
              () -> model.newCall(0),
              () -> call.resize(0));
      for (Executable one : wrong) {
        assertRefused(Code.INVALID_ARGUMENT, one);
      }
      call.clear(); // forgets that some of these failed
      assertRefused(Code.UNKNOWN_NAME, () -> call.setDouble(0, -1, 1));
      assertRefused(Code.DTYPE_MISMATCH, () -> call.setBoolean(0, mass, true));
      assertRefused(Code.DTYPE_MISMATCH, () -> call.setInstant(0, mass, Instant.EPOCH));
      assertRefused(Code.DTYPE_MISMATCH, call::run);
      call.clear();
      call.run();
      assertRefused(Code.DTYPE_MISMATCH, () -> call.getDouble(0, label));
      assertRefused(Code.DTYPE_MISMATCH, () -> call.getString(0, adelie));
      assertRefused(Code.DTYPE_MISMATCH, () -> call.getLong(0, adelie));
      assertRefused(Code.DTYPE_MISMATCH, () -> call.getColumn(adelie, new long[2]));
      call.reset();
      assertRefused(Code.MISSING_INPUT, call::run);
    }
  }

  @Test
  void eachKindOfValueIsSetByItsFunction() {
    List<Object> values = List.of(0.5, 0.25, 4, true, "b", 0.5, 0.25, 4, true, "b");
    try (Model model = Models.open("kinds.onnx");
        Call call = model.newCall(1)) {
      call.setRow(0, values);
      call.run();
      List<Object> atOnce = call.getRow(0);
      call.clear();
      for (int i = 0; i < values.size(); ++i) {
        switch (values.get(i)) {
          case Double x -> call.setDouble(0, i, x);
          case Integer x -> call.setLong(0, i, x);
          case Boolean x -> call.setBoolean(0, i, x);
          default -> call.setString(0, i, (String) values.get(i));
        }
      }
      call.run();
      assertEquals(atOnce, call.getRow(0));
      call.setFeature(2, new long[] {5}, null);
      call.setFeature(3, new boolean[] {false}, null);
      call.setFeature(8, new boolean[] {false}, new boolean[] {false});
      call.run();
      double[] row = new double[call.getRow(0).size()];
      call.getRow(0, row);
      assertEquals(List.of(5.0, 0.0, 0.0), List.of(row[2], row[3], row[8]));
      assertRefused(
          Code.INVALID_ARGUMENT, () -> call.setRow(0, values.subList(1, values.size())));
    }
    try (Model dates = Models.open("dates.onnx");
        Call call = dates.newCall(1)) {
      call.clear();
      call.setInstant(0, dates.feature("seen"), Instant.ofEpochSecond(1, 5_000_000));
      call.setWallClock(0, dates.feature("born"), LocalDateTime.of(1970, 1, 1, 0, 1));
      call.setString(0, dates.feature("due"), "1970-01-01T00:00:02Z");
      call.setLong(0, dates.feature("exact"), 9);
      call.run();
      List<Long> counts = List.of(1005L, 60L, 9L, 2_000_000L);
      assertEquals(counts, call.getRow(0));
      assertEquals(1005, call.getLong(0, 0));
      long[] column = new long[1];
      call.getColumn(1, column);
      assertEquals(60, column[0]);
      assertRefused(
          Code.DTYPE_MISMATCH, () -> call.setInstant(0, dates.feature("born"), Instant.EPOCH));
      assertRefused(
          Code.OUT_OF_RANGE,
          () -> call.setInstant(0, dates.feature("seen"), Instant.ofEpochSecond(0, 1)));
    }
  }

  @Test
  void aCallRefusesASecondThreadAndIsReleasedByTheOneThatUsesIt() throws Exception {
    try (Model model = Models.open("gbm.onnx")) {
      Call call = model.newCall(1_000_000);
      call.input(0).segment().fill((byte) 0);
      CompletableFuture<Void> run = call.runAsync();
      assertRefused(Code.BUSY, () -> call.setDouble(0, 0, 1));
      assertRefused(Code.BUSY, call::run);
      assertRefused(Code.BUSY, call::runAsync);
      assertTrue(run.cancel(true));
      assertThrows(CancellationException.class, run::join);
      call.close(); // perhaps before the run has ended
      assertRefused(Code.INVALID_ARGUMENT, call::rows);

      Call other = model.newCall(1_000_000);
      other.input(0).segment().fill((byte) 0);
      Thread[] runner = new Thread[1];
      CompletableFuture<Code> outcome = new CompletableFuture<>();
      runner[0] =
          Thread.ofPlatform()
              .start(
                  () -> {
                    while (!outcome.isDone()) {
                      try {
                        other.run();
                      } catch (SidecallException e) {
                        if (e.code() != Code.BUSY) { // the other thread was first
                          outcome.complete(e.code());
                        }
                      }
                    }
                  });
      while (true) {
        try {
          other.rows();
          Thread.sleep(1); // leaves the call to the other thread
        } catch (SidecallException e) {
          assertEquals(Code.BUSY, e.code());
          break;
        }
      }
      other.close();
      Code code = outcome.get();
      assertTrue(code == Code.CANCELLED || code == Code.INVALID_ARGUMENT, code.toString());
      runner[0].join();
      assertRefused(Code.INVALID_ARGUMENT, other::rows);
    }
  }

  @Test
  void anOpenCallIsBusyButNeverClosedForASecondThread() throws Exception {
    try (Model model = Models.open("gbm.onnx");
        Call call = model.newCall(1)) {
      List<Thread> threads = new java.util.ArrayList<>();
      List<Code> refusals = java.util.Collections.synchronizedList(new java.util.ArrayList<>());
      for (int i = 0; i < 2; ++i) {
        threads.add(
            Thread.ofPlatform()
                .start(
                    () -> {
                      for (int k = 0; k < 2_000_000; ++k) {
                        try {
                          call.rows();
                        } catch (SidecallException e) {
                          refusals.add(e.code());
                        }
                      }
                    }));
      }
      for (Thread thread : threads) {
        thread.join();
      }
      refusals.removeIf(code -> code == Code.BUSY);
      assertEquals(List.of(), refusals);
    }
  }

  @Test
  void anOutputOfUnknownShapeHasItsViewOnlyUntilTheNextRun() {
    try (Model model = Sidecall.open(Models.path("nonzero.onnx"));
        Call call = model.newCall(1)) {
      TensorSpec spec = model.inputs().get(0);
      long[] shape = spec.shape().stream().mapToLong(size -> size < 0 ? 3 : size).toArray();
      long count = 1;
      for (long size : shape) {
        count *= size;
      }
      byte[] ones = new byte[(int) count * spec.dtype().bits() / 8];
      assertNull(call.output(0).shape());
      call.copyInput(0, Tensor.of(spec.dtype(), MemorySegment.ofArray(ones), shape));
      call.run();
      assertEquals(0, call.output(0).toTensor().longs().length);
      java.util.Arrays.fill(ones, (byte) 1);
      call.copyInput(0, Tensor.of(spec.dtype(), MemorySegment.ofArray(ones), shape));
      call.run();
      assertTrue(call.output(0).toTensor().longs().length > 0);
    }
  }

  /** `test:` is a folder of engines/ that only test builds have, and that no language knows. */
  @Test
  void aNewRouteNeedsNothingFromThisPackage() {
    try (Model model = Sidecall.open("test:double?open_ms=10&run_ms=20")) {
      List<CompletableFuture<Map<String, Tensor>>> runs = new ArrayList<>();
      for (int i = 0; i < 40; ++i) {
        runs.add(model.runAsync(Map.of("x", Tensor.of(new float[] {i}, 1))));
      }
      for (int i = 0; i < 40; ++i) {
        assertArrayEquals(new float[] {2 * i}, runs.get(i).join().get("y").floats());
      }
      Map<String, Tensor> answer = model.run(Map.of("x", Tensor.of(new float[] {1, -2}, 2)));
      assertArrayEquals(new float[] {2, -4}, answer.get("y").floats());
    }
    try (Model model = Sidecall.open("test:double?run_ms=60000")) {
      Map<String, Tensor> inputs = Map.of("x", Tensor.of(new float[] {1}, 1));
      assertRefused(Code.TIMEOUT, () -> model.run(inputs, Duration.ofMillis(20)));
    }
    assertRefused(
        Code.INVALID_ARGUMENT, "expected test:double", () -> Sidecall.open("test:triple"));
  }
}
