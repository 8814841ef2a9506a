package dev.sidecall;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.lang.ref.Cleaner;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * A reusable workspace: the memory of the inputs and outputs for a number of rows. It is for
 * batches, for tensors without copies, and for programs that must not produce garbage.
 *
 * <p>Look the names up once. Then, for each batch: clear the call, set features, run, read columns.
 * Values stay for the next run. A value that is refused is remembered, and {@link #run()} reports
 * it together with all others.
 *
 * <pre>{@code
 * int amount = model.feature("amount");
 * int fraud = model.column("probabilities.fraud");
 * try (Call call = model.newCall(1)) {
 *   for (double value : amounts) {
 *     call.clear();
 *     call.setDouble(0, amount, value);
 *     call.run();
 *     System.out.println(call.getDouble(0, fraud));
 *   }
 * }
 * }</pre>
 *
 * <p>A call belongs to one thread at a time. A second thread that uses it at the same time is
 * refused with BUSY, as is every function while {@link #runAsync()} is under way; only {@link
 * #cancel} and {@link #close} may be called then. After {@link #close} every function fails with
 * INVALID_ARGUMENT. All functions can fail in these two ways.
 */
public final class Call implements AutoCloseable {
  private static final int IDLE = 0;
  private static final int IN_USE = 1;
  private static final int CLOSING = 2; // the thread that uses the call releases it afterwards
  private static final int CLOSED = 3;

  private static final VarHandle STATE;

  static {
    try {
      STATE = MethodHandles.lookup().findVarHandle(Call.class, "state", int.class);
    } catch (ReflectiveOperationException e) {
      throw new ExceptionInInitializerError(e);
    }
  }

  /** What is released when the call is closed or forgotten. */
  private static final class Held implements Runnable {
    final Workspace w;
    final Arena[] inputArenas;
    final Arena[] outputArenas;
    /** The memory of inputs that is not a copy. It stays until the engine no longer reads it. */
    final MemorySegment[] bound;

    private boolean isReleased;

    Held(Workspace w) {
      this.w = w;
      inputArenas = new Arena[w.core.inputs.size()];
      outputArenas = new Arena[w.core.outputs.size()];
      bound = new MemorySegment[inputArenas.length];
    }

    /** Views end first: they refer to the memory of the call. */
    @Override
    public synchronized void run() {
      if (!isReleased) {
        closeAll(inputArenas);
        closeAll(outputArenas);
        isReleased = true;
        w.close();
        java.util.Arrays.fill(bound, null);
      }
    }

    private static void closeAll(Arena[] arenas) {
      for (int i = 0; i < arenas.length; ++i) {
        closeAt(arenas, i);
      }
    }

    static void closeAt(Arena[] arenas, int index) {
      if (arenas[index] != null) {
        try {
          arenas[index].close();
        } catch (IllegalStateException e) {
          throw SidecallException.refuse(
              Code.BUSY, "view: expected memory that no other operation uses, got memory in use");
        }
        arenas[index] = null;
      }
    }

    synchronized void cancel() {
      if (!isReleased) {
        Native.callCancel(w.call);
      }
    }
  }

  private final Held held;
  private final Workspace w;
  private final Cleaner.Cleanable cleanable;
  private final View[] inputViews;
  private final View[] outputViews;
  private int numOutputViews;
  private final MemorySegment[] bound; // the memory of inputs that is not a copy
  private boolean hasBound;
  private volatile int state;
  private volatile boolean isRunningAsync; // only for the text of an error

  Call(Workspace w) {
    this.w = w;
    held = new Held(w);
    inputViews = new View[w.core.inputs.size()];
    outputViews = new View[w.core.outputs.size()];
    bound = held.bound;
    cleanable = Model.CLEANER.register(this, held);
  }

  private void enter() {
    int found = (int) STATE.compareAndExchange(this, IDLE, IN_USE);
    if (found != IDLE) {
      throw found == IN_USE
          ? SidecallException.refuse(Code.BUSY, busyText())
          : SidecallException.refuse(
              Code.INVALID_ARGUMENT, "call: expected an open call, got a closed one");
    }
    if (w.held != 0) {
      w.awaitFree(0);
    }
  }

  private String busyText() {
    return isRunningAsync
        ? "call: expected no run under way, got a run of runAsync that has not ended"
        : "call: expected one thread at a time, got a second one while the first uses the call";
  }

  private void leave() {
    if (!STATE.compareAndSet(this, IN_USE, IDLE)) {
      state = CLOSED;
      cleanable.clean();
    }
  }

  /** Before a run has begun, cancelling does nothing. So it is repeated until the run is over. */
  private void cancelUntilClosed() {
    if (state == CLOSING) {
      held.cancel();
      CompletableFuture.delayedExecutor(1, TimeUnit.MILLISECONDS).execute(this::cancelUntilClosed);
    }
  }

  /**
   * Releases the call and ends its views. May be called again, and by any thread: a run that is
   * under way is cancelled, and its thread then releases the call.
   */
  @Override
  public void close() {
    while (state == IDLE || state == IN_USE) { // another thread may change it at any time
      if (STATE.compareAndSet(this, IDLE, CLOSED)) {
        cleanable.clean();
      } else if (STATE.compareAndSet(this, IN_USE, CLOSING)) {
        cancelUntilClosed();
      }
    }
  }

  /**
   * Ends the run that is under way with CANCELLED, unless it completes first. Does nothing without
   * a run. May be called by any thread.
   */
  public void cancel() {
    held.cancel();
  }

  /** Ends the views of outputs that have moved to other memory or have another shape. */
  private void checkOutputViews() {
    for (int i = 0; numOutputViews > 0 && i < outputViews.length; ++i) {
      View view = outputViews[i];
      if (view != null && (View.fill(w, i) != 0 || !view.isStill(w.scratch))) {
        endOutputView(i);
      }
    }
  }

  private void endInputView(int input) {
    if (input >= 0 && input < inputViews.length) {
      Held.closeAt(held.inputArenas, input);
      inputViews[input] = null;
    }
  }

  private void endOutputView(int output) {
    Held.closeAt(held.outputArenas, output);
    outputViews[output] = null;
    --numOutputViews;
  }

  /** Notes that no input uses memory of the program any more. */
  private void unbindAll() {
    Arrays.fill(bound, null);
    hasBound = false;
  }

  private void unbind(int input) {
    if (input >= 0 && input < bound.length) {
      bound[input] = null;
    }
  }

  /** Memory of an arena that the program has closed since would crash the run. */
  private void requireBoundMemory() {
    for (MemorySegment memory : bound) {
      if (memory != null && !memory.scope().isAlive()) {
        throw SidecallException.refuse(
            Code.INVALID_ARGUMENT,
            "call: expected memory that is alive in every bound input, got a closed arena");
      }
    }
  }

  /**
   * Returns the number of rows.
   *
   * @return the number; after tensors were given it follows from their shapes at the next run
   */
  public long rows() {
    enter();
    try {
      return Native.callRows(w.call);
    } finally {
      leave();
    }
  }

  /**
   * Sets the number of rows. All inputs must be given again, and all views end.
   *
   * @param rows 1 or more
   * @throws SidecallException INVALID_ARGUMENT for less than one row
   */
  public void resize(long rows) {
    enter();
    try {
      if (rows > 0) { // the library does nothing if the number stays: memory stays bound
        w.check(Native.callReset(w.call, w.error));
        for (int i = 0; i < inputViews.length; ++i) {
          endInputView(i);
        }
        unbindAll();
      }
      w.check(Native.callResize(w.call, rows, w.error));
      checkOutputViews();
    } finally {
      leave();
    }
  }

  /**
   * Begins the next records: makes every feature of every row missing.
   *
   * @throws SidecallException NO_CONTRACT
   */
  public void clear() {
    enter();
    try {
      w.check(Native.callClear(w.call, w.error));
      unbindAll();
    } finally {
      leave();
    }
  }

  /**
   * Forgets which inputs were given.
   */
  public void reset() {
    enter();
    try {
      w.check(Native.callReset(w.call, w.error));
      unbindAll();
    } finally {
      leave();
    }
  }

  /**
   * Sets a float32 or float64 feature, or an int64 feature if the value is whole.
   *
   * @param row the row, from 0
   * @param feature an index of {@link Model#feature}
   * @param value the value; NaN is missing
   * @throws SidecallException as sidecall_call_set_f64 documents; the run reports it again
   */
  public void setDouble(long row, int feature, double value) {
    enter();
    try {
      w.check(Native.setF64(w.call, row, feature, value, w.error));
    } finally {
      leave();
    }
  }

  /**
   * Sets an int64, float32 or float64 feature; of a datetime feature, the count in its unit.
   *
   * @param row the row, from 0
   * @param feature an index of {@link Model#feature}
   * @param value the value
   * @throws SidecallException as sidecall_call_set_i64 documents; the run reports it again
   */
  public void setLong(long row, int feature, long value) {
    enter();
    try {
      w.check(Native.setI64(w.call, row, feature, value, w.error));
    } finally {
      leave();
    }
  }

  /**
   * Sets a bool feature.
   *
   * @param row the row, from 0
   * @param feature an index of {@link Model#feature}
   * @param value the value
   * @throws SidecallException as sidecall_call_set_bool documents; the run reports it again
   */
  public void setBoolean(long row, int feature, boolean value) {
    enter();
    try {
      w.check(Native.setBool(w.call, row, feature, value ? 1 : 0, w.error));
    } finally {
      leave();
    }
  }

  /**
   * Sets a string feature, or a datetime feature in ISO 8601.
   *
   * @param row the row, from 0
   * @param feature an index of {@link Model#feature}
   * @param value the value
   * @throws SidecallException as sidecall_call_set_str documents; the run reports it again
   */
  public void setString(long row, int feature, String value) {
    Objects.requireNonNull(value, "value");
    enter();
    try {
      w.begin(null);
      long text = w.copyText(value);
      w.check(Native.setStr(w.call, row, feature, text, w.copiedBytes(), w.error));
    } finally {
      leave();
    }
  }

  /**
   * Sets a datetime feature with a time zone.
   *
   * @param row the row, from 0
   * @param feature an index of {@link Model#feature}
   * @param value the value
   * @throws SidecallException as sidecall_call_set_datetime documents;
   *     DTYPE_MISMATCH for a feature without a time zone; the run reports it again
   */
  public void setInstant(long row, int feature, Instant value) {
    Objects.requireNonNull(value, "value");
    enter();
    try {
      long seconds = value.getEpochSecond();
      w.check(Native.setInstant(w.call, row, feature, seconds, value.getNano(), w.error));
    } finally {
      leave();
    }
  }

  /**
   * Sets a datetime feature without a time zone.
   *
   * @param row the row, from 0
   * @param feature an index of {@link Model#feature}
   * @param value the value
   * @throws SidecallException as sidecall_call_set_datetime documents; the run reports it again
   */
  public void setWallClock(long row, int feature, LocalDateTime value) {
    Objects.requireNonNull(value, "value");
    enter();
    try {
      List<FeatureSpec> features = w.core.features;
      if (feature >= 0 && feature < features.size() && !features.get(feature).zone().isEmpty()) {
        throw SidecallException.refuse(
            Code.DTYPE_MISMATCH,
            "feature '" + features.get(feature).name()
                + "': expected a datetime with a time zone, got LocalDateTime");
      }
      long seconds = value.toEpochSecond(ZoneOffset.UTC);
      w.check(Native.setDatetime(w.call, row, feature, seconds, value.getNano(), w.error));
    } finally {
      leave();
    }
  }

  /**
   * Makes a nullable feature missing.
   *
   * @param row the row, from 0
   * @param feature an index of {@link Model#feature}
   * @throws SidecallException as sidecall_call_set_missing documents; the run reports it again
   */
  public void setMissing(long row, int feature) {
    enter();
    try {
      w.check(Native.setMissing(w.call, row, feature, w.error));
    } finally {
      leave();
    }
  }

  /**
   * Sets all features of a row, in the order of {@link Model#features}.
   *
   * @param row the row, from 0
   * @param values null for a missing value, or values as in {@link Model#newPredictor}
   * @throws SidecallException the first value that is refused; the run reports all.
   *     INVALID_ARGUMENT for another number of values
   */
  public void setRow(long row, List<?> values) {
    Objects.requireNonNull(values, "values");
    enter();
    try {
      w.begin(null);
      List<FeatureSpec> features = w.core.features;
      for (int i = 0; i < Math.min(values.size(), features.size()); ++i) {
        Values.putAny(w, w.values + (long) Header.Value.SIZE * i, values.get(i), features.get(i));
      }
      w.check(Native.setRow(w.call, row, 0, w.values, values.size(), w.error));
    } finally {
      leave();
    }
  }

  /**
   * Sets all features of a row from numbers, in the order of {@link Model#features}.
   *
   * @param row the row, from 0
   * @param values the numbers; NaN is missing
   * @throws SidecallException as {@link #setRow(long, List)}
   */
  public void setRow(long row, double[] values) {
    Objects.requireNonNull(values, "values");
    enter();
    try {
      long memory = w.tensorMemory(8L * values.length);
      Memory.copyIn(memory, values);
      w.check(Native.setRowF64(w.call, row, 0, memory, values.length, w.error));
    } finally {
      leave();
    }
  }

  /**
   * Sets several features of a row from numbers.
   *
   * @param row the row, from 0
   * @param features indices of {@link Model#feature}
   * @param values the numbers, one for each feature; NaN is missing
   * @throws SidecallException as {@link #setRow(long, List)}; INVALID_ARGUMENT also if the arrays
   *     differ in length
   */
  public void setRow(long row, int[] features, double[] values) {
    Objects.requireNonNull(features, "features");
    Objects.requireNonNull(values, "values");
    enter();
    try {
      long memory = w.tensorMemory(8L * values.length + 4L * features.length);
      long indices = memory + 8L * values.length;
      Memory.copyIn(memory, values);
      Memory.copyIn(indices, features);
      long count = features.length == values.length ? values.length : -1; // the library refuses it
      w.check(Native.setRowF64(w.call, row, indices, memory, count, w.error));
    } finally {
      leave();
    }
  }

  /**
   * Sets a feature of all rows from numbers; NaN is missing.
   *
   * @param feature an index of {@link Model#feature}
   * @param values one value for each row
   * @param missing whether the value of each row is missing; null if none is marked so
   * @throws SidecallException as {@link #setRow(long, List)}; INVALID_ARGUMENT if an array does not
   *     have an element for each row
   */
  public void setFeature(int feature, double[] values, boolean[] missing) {
    Objects.requireNonNull(values, "values");
    enter();
    try {
      long memory = w.tensorMemory(8L * values.length + (missing == null ? 0 : missing.length));
      Memory.copyIn(memory, values);
      long flags = copyFlags(memory + 8L * values.length, missing);
      long count = countOf(values.length, missing);
      w.check(Native.setFeatureF64(w.call, feature, memory, flags, count, w.error));
    } finally {
      leave();
    }
  }

  /**
   * Sets a feature of all rows from integers, or from counts of the unit of a datetime.
   *
   * @param feature an index of {@link Model#feature}
   * @param values one value for each row
   * @param missing whether the value of each row is missing; null if none is marked so
   * @throws SidecallException as {@link #setRow(long, List)}; INVALID_ARGUMENT if an array does not
   *     have an element for each row
   */
  public void setFeature(int feature, long[] values, boolean[] missing) {
    Objects.requireNonNull(values, "values");
    enter();
    try {
      long memory = w.tensorMemory(8L * values.length + (missing == null ? 0 : missing.length));
      Memory.copyIn(memory, values);
      long flags = copyFlags(memory + 8L * values.length, missing);
      long count = countOf(values.length, missing);
      w.check(Native.setFeatureI64(w.call, feature, memory, flags, count, w.error));
    } finally {
      leave();
    }
  }

  /**
   * Sets a feature of all rows from booleans.
   *
   * @param feature an index of {@link Model#feature}
   * @param values one value for each row
   * @param missing whether the value of each row is missing; null if none is marked so
   * @throws SidecallException as {@link #setRow(long, List)}; INVALID_ARGUMENT if an array does not
   *     have an element for each row
   */
  public void setFeature(int feature, boolean[] values, boolean[] missing) {
    Objects.requireNonNull(values, "values");
    enter();
    try {
      long memory = w.tensorMemory(1L * values.length + (missing == null ? 0 : missing.length));
      Memory.copyIn(memory, values);
      long flags = copyFlags(memory + 1L * values.length, missing);
      long count = countOf(values.length, missing);
      w.check(Native.setFeatureBool(w.call, feature, memory, flags, count, w.error));
    } finally {
      leave();
    }
  }

  /**
   * Sets a feature of all rows from texts; null is missing.
   *
   * @param feature an index of {@link Model#feature}
   * @param values one text for each row
   * @param missing whether the value of each row is missing; null if none is marked so
   * @throws SidecallException as {@link #setRow(long, List)}; INVALID_ARGUMENT if an array does not
   *     have an element for each row
   */
  public void setFeature(int feature, String[] values, boolean[] missing) {
    Objects.requireNonNull(values, "values");
    enter();
    try {
      boolean[] isMissing = missing == null ? new boolean[values.length] : missing.clone();
      String[] texts = values.clone();
      for (int i = 0; i < texts.length; ++i) {
        if (texts[i] == null) {
          texts[i] = "";
          if (i < isMissing.length) { // otherwise the library refuses the number of flags
            isMissing[i] = true;
          }
        }
      }
      long view = Tensor.of(texts, texts.length).toView(w);
      long data = Memory.getLong(view + Header.View.DATA);
      long bytes = Memory.getLong(view + Header.View.DATA_BYTES);
      long offsets = Memory.getLong(view + Header.View.OFFSETS);
      w.begin(null);
      long flags = copyFlags(w.textMemory(isMissing.length), isMissing);
      long count = countOf(texts.length, isMissing);
      w.check(
          Native.setFeatureStr(w.call, feature, data, bytes, offsets, flags, count, w.error));
    } finally {
      leave();
    }
  }

  private static long copyFlags(long address, boolean[] missing) {
    if (missing == null) {
      return 0;
    }
    Memory.copyIn(address, missing);
    return address;
  }

  /** The library refuses -1. */
  private static long countOf(int values, boolean[] missing) {
    return missing == null || missing.length == values ? values : -1;
  }

  /**
   * Runs the call once, within the deadline of {@link Options#withTimeout}.
   *
   * <p>After an error the outputs are invalid, their views end, and the inputs stay. The run of a
   * file occupies the thread, also a virtual one; in the run of a served model a virtual thread
   * parks.
   *
   * @throws SidecallException as sidecall_call_run documents, with every fault of every row
   */
  public void run() {
    run(w.core.timeoutNs);
  }

  /**
   * Runs the call once, within a deadline.
   *
   * @param timeout more than 0
   * @throws SidecallException as {@link #run()}; TIMEOUT
   */
  public void run(Duration timeout) {
    run(Deadline.nanoseconds(timeout));
  }

  private void run(long timeoutNs) {
    enter();
    try {
      if (hasBound) {
        requireBoundMemory();
      }
      int status = w.run(timeoutNs);
      ended(status);
    } finally {
      leave();
    }
  }

  private void ended(int status) {
    SidecallException failure = status == 0 ? null : SidecallException.of(status, w.error);
    if (numOutputViews > 0) {
      checkOutputViews();
    }
    if (failure != null) {
      throw failure;
    }
  }

  /**
   * Starts a run, and returns before it is over. No thread waits for it. Until the future is
   * complete, the call and the memory of its views must not be used. Cancelling the future cancels
   * the run; the call can be used when the run has ended, soon after.
   *
   * @return a future that fails with a {@link SidecallException} as {@link #run()}. A thread of
   *     {@link CompletableFuture#defaultExecutor} completes it, or one that waits in its join or
   *     get
   */
  public CompletableFuture<Void> runAsync() {
    return runAsync(w.core.timeoutNs);
  }

  /**
   * Starts a run with a deadline, and returns before it is over. After TIMEOUT the engine or the
   * server may use the memory of the call for some time: {@link #run()} then waits, functions that
   * change inputs fail with BUSY, and so may this one.
   *
   * @param timeout more than 0
   * @return a future, as {@link #runAsync()}; it fails with TIMEOUT at the deadline
   * @throws SidecallException INVALID_ARGUMENT for another timeout
   */
  public CompletableFuture<Void> runAsync(Duration timeout) {
    return runAsync(Deadline.nanoseconds(timeout));
  }

  private CompletableFuture<Void> runAsync(long timeoutNs) {
    enter();
    boolean isSubmitted = false;
    try {
      if (hasBound) {
        requireBoundMemory();
      }
      isRunningAsync = true;
      Running running = new Running();
      running.submit(w, timeoutNs);
      isSubmitted = true;
      return running;
    } finally {
      if (!isSubmitted) {
        isRunningAsync = false;
        leave();
      }
    }
  }

  private final class Running extends RunFuture<Void> {
    @Override
    void finish(int status) {
      Throwable failure = null;
      try {
        Call.this.ended(status);
      } catch (Throwable e) {
        failure = e;
      }
      isRunningAsync = false;
      leave();
      if (failure == null) {
        complete(null);
      } else {
        completeExceptionally(failure);
      }
    }
  }

  /**
   * Reads a numeric column of a row after a run.
   *
   * @param row the row, from 0
   * @param column an index of {@link Model#column}
   * @return the value
   * @throws SidecallException as sidecall_call_get_f64 documents
   */
  public double getDouble(long row, int column) {
    enter();
    try {
      w.check(Native.getF64(w.call, row, column, w.scratch, w.error));
      return Memory.getDouble(w.scratch);
    } finally {
      leave();
    }
  }

  /**
   * Reads an integer or bool column of a row after a run.
   *
   * @param row the row, from 0
   * @param column an index of {@link Model#column}
   * @return the value
   * @throws SidecallException as sidecall_call_get_i64 documents
   */
  public long getLong(long row, int column) {
    enter();
    try {
      w.check(Native.getI64(w.call, row, column, w.scratch, w.error));
      return Memory.getLong(w.scratch);
    } finally {
      leave();
    }
  }

  /**
   * Reads a string column of a row after a run.
   *
   * @param row the row, from 0
   * @param column an index of {@link Model#column}
   * @return the value
   * @throws SidecallException as sidecall_call_get_str documents
   */
  public String getString(long row, int column) {
    enter();
    try {
      w.check(Native.getStr(w.call, row, column, w.scratch, w.scratch + 8, w.error));
      return Memory.text(Memory.getLong(w.scratch), Memory.getLong(w.scratch + 8));
    } finally {
      leave();
    }
  }

  /**
   * Reads all columns of a row after a run, in the order of {@link Model#columns}.
   *
   * @param row the row, from 0
   * @return a Double, Long, Boolean or String for each column
   * @throws SidecallException as sidecall_call_get_row documents
   */
  public List<Object> getRow(long row) {
    enter();
    try {
      int count = w.core.numColumns;
      w.expect(count);
      w.check(Native.getRow(w.call, row, 0, w.answerAt(0), count, w.error));
      Object[] values = new Object[count];
      Arrays.setAll(values, i -> Values.any(w, i));
      return List.of(values);
    } finally {
      leave();
    }
  }

  /**
   * Reads all columns of a row as numbers after a run, in the order of {@link Model#columns}.
   *
   * @param row the row, from 0
   * @param out an array with an element for each column, which is filled
   * @throws SidecallException as sidecall_call_get_row_f64 documents
   */
  public void getRow(long row, double[] out) {
    Objects.requireNonNull(out, "out");
    enter();
    try {
      long memory = w.tensorMemory(8L * out.length);
      w.check(Native.getRowF64(w.call, row, 0, memory, out.length, w.error));
      Memory.copyOut(memory, out);
    } finally {
      leave();
    }
  }

  /**
   * Reads several columns of a row as numbers after a run.
   *
   * @param row the row, from 0
   * @param columns indices of {@link Model#column}
   * @param out an array with an element for each of them, which is filled
   * @throws SidecallException as sidecall_call_get_row_f64 documents; INVALID_ARGUMENT also if the
   *     arrays differ in length
   */
  public void getRow(long row, int[] columns, double[] out) {
    Objects.requireNonNull(columns, "columns");
    Objects.requireNonNull(out, "out");
    enter();
    try {
      long memory = w.tensorMemory(8L * out.length + 4L * columns.length);
      long indices = memory + 8L * out.length;
      Memory.copyIn(indices, columns);
      long count = columns.length == out.length ? out.length : -1; // the library refuses it
      w.check(Native.getRowF64(w.call, row, indices, memory, count, w.error));
      Memory.copyOut(memory, out);
    } finally {
      leave();
    }
  }

  /**
   * Reads a numeric column of all rows after a run.
   *
   * @param column an index of {@link Model#column}
   * @param out an array with an element for each row, which is filled
   * @throws SidecallException as sidecall_call_get_column_f64 documents
   */
  public void getColumn(int column, double[] out) {
    Objects.requireNonNull(out, "out");
    enter();
    try {
      long memory = w.tensorMemory(8L * out.length);
      w.check(Native.getColumnF64(w.call, column, memory, out.length, w.error));
      Memory.copyOut(memory, out);
    } finally {
      leave();
    }
  }

  /**
   * Reads an integer or bool column of all rows after a run.
   *
   * @param column an index of {@link Model#column}
   * @param out an array with an element for each row, which is filled
   * @throws SidecallException as sidecall_call_get_column_i64 documents
   */
  public void getColumn(int column, long[] out) {
    Objects.requireNonNull(out, "out");
    enter();
    try {
      long memory = w.tensorMemory(8L * out.length);
      w.check(Native.getColumnI64(w.call, column, memory, out.length, w.error));
      Memory.copyOut(memory, out);
    } finally {
      leave();
    }
  }

  /**
   * Reads a bool column of all rows after a run.
   *
   * @param column an index of {@link Model#column}
   * @param out an array with an element for each row, which is filled
   * @throws SidecallException as sidecall_call_get_column_i64 documents; DTYPE_MISMATCH also for a
   *     column of integers
   */
  public void getColumn(int column, boolean[] out) {
    Objects.requireNonNull(out, "out");
    enter();
    try {
      long memory = w.tensorMemory(8L * out.length);
      int status = Native.getColumnI64(w.call, column, memory, out.length, w.error);
      if (status == 0 && out.length > 0 && !isBoolColumn(column)) {
        // The column has integers. getStr() fails with an error that names the column and its type.
        status = Native.getStr(w.call, 0, column, w.scratch, w.scratch + 8, w.error);
      }
      if (status == Code.DTYPE_MISMATCH.number()) {
        throw notBool(SidecallException.of(status, w.error));
      }
      w.check(status);
      for (int row = 0; row < out.length; ++row) {
        out[row] = Memory.getLong(memory + 8L * row) != 0;
      }
    } finally {
      leave();
    }
  }

  /** Whether the values of a column are bools. The call must have at least one row. */
  private boolean isBoolColumn(int column) {
    w.expect(1);
    Memory.putInt(w.scratch, column);
    w.check(Native.getRow(w.call, 0, w.scratch, w.answerAt(0), 1, w.error));
    return Values.any(w, 0) instanceof Boolean;
  }

  private static SidecallException notBool(SidecallException e) {
    return SidecallException.refuse(
        Code.DTYPE_MISMATCH,
        e.name(),
        "a bool column",
        e.got(),
        String.format("column '%s': expected a bool column, got %s", e.name(), e.got()));
  }

  /**
   * Reads a string column of all rows after a run.
   *
   * @param column an index of {@link Model#column}
   * @param out an array with an element for each row, which is filled
   * @throws SidecallException as sidecall_call_get_column_str documents
   */
  public void getColumn(int column, String[] out) {
    Objects.requireNonNull(out, "out");
    enter();
    try {
      long texts = w.tensorMemory(16L * out.length);
      long lengths = texts + 8L * out.length;
      w.check(Native.getColumnStr(w.call, column, texts, lengths, out.length, w.error));
      for (int row = 0; row < out.length; ++row) {
        long text = Memory.getLong(texts + 8L * row);
        out[row] = Memory.text(text, Memory.getLong(lengths + 8L * row));
      }
    } finally {
      leave();
    }
  }

  /**
   * Gives an input a whole tensor, with its shape, by copying it. Views of this input end.
   *
   * @param input an index of {@link Model#input}
   * @param tensor the tensor
   * @throws SidecallException as sidecall_call_copy_input documents
   */
  public void copyInput(int input, Tensor tensor) {
    Objects.requireNonNull(tensor, "tensor");
    enter();
    try {
      endInputView(input);
      w.check(Native.copyInput(w.call, input, tensor.toView(w), w.error));
      unbind(input);
      checkOutputViews();
    } finally {
      leave();
    }
  }

  /**
   * Gives an input a whole tensor in native memory, with its shape, without copying it: from now on
   * runs read that memory, until the input is given in another way or the call is closed. Until
   * then it must not be released, and it must not change while a run is under way. Views of this
   * input end.
   *
   * @param input an index of {@link Model#input}
   * @param tensor a tensor of {@link Tensor#of(Dtype, MemorySegment, long...)}
   * @throws SidecallException as sidecall_call_bind_input documents; INVALID_ARGUMENT if the tensor
   *     is not in native memory
   */
  public void bindInput(int input, Tensor tensor) {
    Objects.requireNonNull(tensor, "tensor");
    enter();
    try {
      MemorySegment memory = tensor.nativeMemory();
      if (memory == null || !memory.isAccessibleBy(Thread.currentThread())) {
        throw SidecallException.refuse(
            Code.INVALID_ARGUMENT,
            "tensor: expected a direct buffer or a native segment that this thread may access;"
                + " copy the input instead");
      }
      endInputView(input);
      w.check(Native.bindInput(w.call, input, tensor.bindView(w, memory), w.error));
      bound[input] = memory;
      hasBound = true;
      checkOutputViews();
    } finally {
      leave();
    }
  }

  /**
   * Returns the memory of an input, so that the program can write the values there: the engine
   * reads that memory in place. From now on the input counts as given. The view lasts until the
   * input is copied, bound or reshaped, or the call is resized or closed. Strings have no such
   * memory.
   *
   * @param input an index of {@link Model#input}
   * @return the same view as long as it lasts
   * @throws SidecallException as sidecall_call_input documents
   */
  public View input(int input) {
    enter();
    try {
      Memory.putInt(w.scratch + Header.View.STRUCT_SIZE, Header.View.SIZE);
      w.check(Native.callInput(w.call, input, w.scratch, w.error));
      View view = inputViews[input];
      unbind(input);
      if (view == null || !view.isStill(w.scratch)) {
        endInputView(input);
        held.inputArenas[input] = Arena.ofShared();
        view = View.of(w.scratch, held.inputArenas[input]);
        inputViews[input] = view;
      }
      return view;
    } finally {
      leave();
    }
  }

  /**
   * Returns the memory of an output. After a run it has the values. If the shape of the output
   * follows from the inputs, the view has the values of every later run too. It lasts until a shape
   * changes, a run fails or the call is closed, and otherwise until the next run.
   *
   * @param output an index of {@link Model#output}
   * @return the view; one without memory before a run
   * @throws SidecallException as sidecall_call_output documents
   */
  public View output(int output) {
    enter();
    try {
      w.check(View.fill(w, output));
      View view = outputViews[output];
      if (view != null && view.isStill(w.scratch)) {
        return view;
      }
      if (view != null) {
        endOutputView(output);
      }
      if (Memory.getLong(w.scratch + Header.View.DATA) == 0) {
        return View.of(w.scratch, Arena.global()); // it has no memory
      }
      held.outputArenas[output] = Arena.ofShared();
      view = View.of(w.scratch, held.outputArenas[output]);
      outputViews[output] = view;
      ++numOutputViews;
      return view;
    } finally {
      leave();
    }
  }

  /**
   * Gives an input a shape of its own, for inputs that vary in more than the number of rows. Views
   * of this input end.
   *
   * @param input an index of {@link Model#input}
   * @param shape the sizes
   * @throws SidecallException as sidecall_call_reshape documents
   */
  public void reshape(int input, long... shape) {
    Objects.requireNonNull(shape, "shape");
    enter();
    try {
      endInputView(input);
      long dims = w.tensorMemory(8L * shape.length);
      Memory.copyIn(dims, shape);
      w.check(Native.reshape(w.call, input, dims, shape.length, w.error));
      unbind(input);
      checkOutputViews();
    } finally {
      leave();
    }
  }
}
