package dev.sidecall;

import static dev.sidecall.Models.assertRefused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;

/** Columns of a call that are read for all rows at once, and the texts of a call in use. */
class ColumnsTest {
  @Test
  void aColumnOfTextsIsRead() {
    try (Model model = Models.open("penguins.onnx");
        Call call = model.newCall(3)) {
      int label = model.column("label");
      String[] labels = new String[3];
      assertRefused(Code.NOT_RUN, () -> call.getColumn(label, labels));
      call.clear();
      call.setFeature(model.feature("bill_length_mm"), new double[] {39.1, 50, 46}, null);
      call.setFeature(model.feature("island"), new String[] {"Torgersen", "Biscoe", null}, null);
      call.run();
      call.getColumn(label, labels);
      for (int row = 0; row < labels.length; ++row) {
        assertEquals(call.getString(row, label), labels[row]);
      }
      assertTrue(Arrays.stream(labels).distinct().count() > 1, "rows that differ");
      String[] before = labels.clone();
      int adelie = model.column("probabilities.Adelie");
      SidecallException e =
          assertRefused(
              Code.DTYPE_MISMATCH,
              "column 'probabilities.Adelie': expected a string column, got float32",
              () -> call.getColumn(adelie, labels));
      assertEquals("probabilities.Adelie", e.name());
      assertRefused(
          Code.INVALID_ARGUMENT,
          "count: expected 3, the number of rows, got 2",
          () -> call.getColumn(label, new String[2]));
      assertRefused(Code.INVALID_ARGUMENT, () -> call.getColumn(99, labels));
      assertRefused(Code.UNKNOWN_NAME, () -> call.getColumn(-1, labels));
      assertThrows(NullPointerException.class, () -> call.getColumn(label, (String[]) null));
      assertArrayEquals(before, labels, "a failure leaves the array as it was");
    }
    try (Model model = Models.open("identity_string.onnx");
        Call call = model.newCall(1)) {
      String[] texts = {"", "größe", "😀", "größe"};
      call.copyInput(0, Tensor.of(texts, 4));
      call.run();
      String[] read = new String[4];
      call.getColumn(0, read);
      assertArrayEquals(texts, read);
      call.copyInput(0, Tensor.of(new String[] {"other", "a", "b", "c"}, 4));
      call.run();
      assertArrayEquals(texts, read, "the texts are copies");
    }
  }

  @Test
  void aColumnOfBooleansIsRead() {
    Model model = Models.open("identity_bool.onnx");
    try (Call call = model.newCall(1)) {
      boolean[] flags = {true, false, false, true};
      boolean[] read = new boolean[4];
      assertRefused(Code.NOT_RUN, () -> call.getColumn(0, read));
      call.copyInput(0, Tensor.of(flags, 4));
      call.run();
      call.getColumn(0, read);
      assertArrayEquals(flags, read);
      model.close();
      call.getColumn(0, read); // calls that are open stay usable
      assertRefused(Code.INVALID_ARGUMENT, () -> call.getColumn(0, new boolean[5]));
      assertRefused(Code.INVALID_ARGUMENT, () -> call.getColumn(1, read));
      assertRefused(Code.UNKNOWN_NAME, () -> call.getColumn(-1, read));
      assertRefused(Code.DTYPE_MISMATCH, () -> call.getColumn(0, new String[4]));
      assertThrows(NullPointerException.class, () -> call.getColumn(0, (boolean[]) null));
    }
    // The tensor of this column has integers, but the contract says that they are bools.
    for (String name : List.of("label_bool.onnx", "label_bool_int.onnx")) {
      try (Model labelled = Models.open(name);
          Call call = labelled.newCall(2)) {
        int label = labelled.column("label");
        call.clear();
        call.setRow(0, new double[] {0.25, 0.75});
        call.setRow(1, new double[] {0.75, 0.25});
        call.run();
        boolean[] labels = new boolean[2];
        call.getColumn(label, labels);
        assertArrayEquals(new boolean[] {true, false}, labels, name);
      }
    }
  }

  @Test
  void aColumnOfAnotherTypeIsNotReadAsBooleans() {
    try (Model model = Models.open("identity_int64.onnx");
        Call call = model.newCall(1)) {
      call.copyInput(0, Tensor.of(new long[] {1, 0}, 2));
      call.run();
      boolean[] read = {true, true};
      SidecallException e =
          assertRefused(
              Code.DTYPE_MISMATCH,
              "column 'y': expected a bool column, got int64",
              () -> call.getColumn(0, read));
      assertEquals(
          List.of("y", "a bool column", "int64"), List.of(e.name(), e.expected(), e.got()));
      assertArrayEquals(new boolean[] {true, true}, read);
    }
    try (Model model = Models.open("penguins.onnx");
        Call call = model.newCall(1)) {
      call.clear();
      call.run();
      assertRefused(
          Code.DTYPE_MISMATCH,
          "column 'label': expected a bool column, got string",
          () -> call.getColumn(model.column("label"), new boolean[1]));
      assertRefused(
          Code.DTYPE_MISMATCH,
          "column 'probabilities.Gentoo': expected a bool column, got float32",
          () -> call.getColumn(model.column("probabilities.Gentoo"), new boolean[1]));
    }
  }

  @Test
  void theErrorOfACallInUseSaysWhatUsesIt() throws Exception {
    try (Served served = Served.of(Models.path("penguins.onnx"), Served.Route.SHM);
        Model model = served.connect();
        Call call = model.newCall(1)) {
      call.clear();
      served.freeze();
      CompletableFuture<Void> run = call.runAsync();
      SidecallException e =
          assertRefused(
              Code.BUSY,
              "call: expected no run under way, got a run of runAsync that has not ended",
              call::run);
      assertTrue(e.isRetryable());
      served.thaw();
      run.join();
      served.freeze();
      Thread thread =
          Thread.ofPlatform()
              .start(
                  () -> {
                    while (true) {
                      try {
                        call.run();
                        return;
                      } catch (SidecallException refused) {
                        if (refused.code() != Code.BUSY) { // the test uses the call at times
                          throw refused;
                        }
                      }
                    }
                  });
      SidecallException busy = null;
      while (busy == null) { // until the other thread has begun its run
        try {
          call.rows();
          Thread.sleep(1); // leaves the call to the other thread
        } catch (SidecallException refused) {
          busy = refused;
        }
      }
      assertEquals(Code.BUSY, busy.code());
      assertEquals(
          "call: expected one thread at a time, got a second one while the first uses the call",
          busy.getMessage());
      served.thaw();
      thread.join();
      call.run();
    }
  }
}
