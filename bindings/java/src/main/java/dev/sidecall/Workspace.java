package dev.sidecall;

import java.util.concurrent.locks.LockSupport;

/**
 * A call of the library, with native memory for one record and its answer. One thread uses it at a
 * time.
 */
final class Workspace implements AutoCloseable {
  private static final int SCRATCH = 64;

  final Core core;
  final long call;
  final long error;

  /** The last run that {@link Call#cancel} may have to end. It may be over. */
  volatile StartedRun run;

  /** Native memory for out parameters and a view: 64 bytes. */
  final long scratch;

  /** One sidecall_value for each feature. */
  final long values;

  /** -1 if the number of rows follows from tensors. */
  long rows;

  /** Whether the call remembers names that the model does not know. */
  boolean isDirty;

  private Object owner; // which plan has filled `values` last: its features alone are set
  private long answer;
  private int answerCapacity;
  private String[] lastTexts = new String[0];
  private byte[][] lastBytes = new byte[0][];
  private final Buffer text = new Buffer();
  private long copiedBytes;
  private Buffer tensor; // the tensor, or a column of a table, that is copied next

  Workspace(Core core, long call, long error, long rows) {
    this.core = core;
    this.call = call;
    this.error = error;
    this.rows = rows;
    scratch = Native.allocate(SCRATCH);
    values = Native.allocate((long) Values.SIZE * core.features.size());
  }

  /** Releases everything. A run that was given up goes on in the library. */
  @Override
  public void close() {
    Waits.call(
        core.isServed,
        () -> {
          Native.callClose(call); // the last call of a closed model releases that, too
          return null;
        });
    Native.errorClose(error);
    Native.free(scratch);
    Native.free(values);
    Native.free(answer);
    text.free();
    if (tensor != null) {
      tensor.free();
    }
  }

  void check(int status) {
    if (status != 0) {
      throw SidecallException.of(status, error);
    }
  }

  void resize(long rows) {
    if (rows != this.rows) {
      check(Native.callResize(call, rows, error));
      this.rows = rows;
    }
  }

  /**
   * Forgets the values of earlier records. A call with one row needs it only if it remembers names
   * that the model does not know, because every feature is set anyway.
   */
  void clear(boolean hasManyRows) {
    if (hasManyRows || isDirty) {
      isDirty = false;
      check(Native.callClear(call, error));
    }
  }

  /** Prepares `values` for a record of a plan, which sets the same features each time. */
  void begin(Object owner) {
    text.clear();
    if (owner == null || owner != this.owner) {
      clearValues();
      this.owner = owner;
    }
  }

  void clearValues() {
    Memory.clear(values, (long) Values.SIZE * core.features.size());
  }

  /** Copies a text, until the next record begins. {@link #copiedBytes} is its length. */
  long copyText(String value) {
    int length = value.length();
    long address = text.reserve(length);
    if (Memory.putAscii(address, value)) {
      text.use(length);
      copiedBytes = length;
      return address;
    }
    byte[] bytes = Memory.utf8(value);
    address = text.reserve(bytes.length);
    Memory.copyIn(address, bytes);
    text.use(bytes.length);
    copiedBytes = bytes.length;
    return address;
  }

  long copiedBytes() {
    return copiedBytes;
  }

  /** Returns memory that stays until the next record begins. */
  long textMemory(long size) {
    long address = text.reserve(size);
    text.use(size);
    return address;
  }

  /** Returns memory for the next tensor, which stays until the next one. */
  long tensorMemory(long size) {
    if (tensor == null) {
      tensor = new Buffer();
    }
    tensor.clear();
    return tensor.reserve(size);
  }

  /** Prepares for an answer with so many columns. */
  void expect(int columns) {
    if (columns > answerCapacity) {
      long larger = Native.allocate((long) Values.SIZE * columns);
      Native.free(answer);
      answer = larger;
      answerCapacity = columns;
      lastTexts = new String[columns];
      lastBytes = new byte[columns][];
    }
  }

  long answerAt(int index) {
    return answer + (long) Values.SIZE * index;
  }

  /**
   * Returns a text of the answer. Most columns of text have few values, so it keeps the last one
   * instead of allocating the same again.
   */
  String textOf(int index, long address, long length) {
    byte[] last = lastBytes[index];
    if (last == null || !Memory.equals(address, length, last)) {
      lastBytes[index] = Memory.bytes(address, Math.toIntExact(length));
      lastTexts[index] = Memory.text(address, length);
    }
    return lastTexts[index];
  }

  void getRow(long row, Writer writer) {
    check(Native.getRow(call, row, writer.columns(), answer, writer.count(), error));
  }

  /**
   * Runs the call and returns its status. A virtual thread does not wait in a run of a served
   * model: it would occupy the thread that carries it.
   */
  int run(long timeoutNs) {
    if (!core.isServed || !Thread.currentThread().isVirtual()) {
      return Native.callRun(call, timeoutNs, error);
    }
    boolean isAlone = core.numParked.getAndIncrement() == 0;
    Parked parked = new Parked(this, isAlone);
    try {
      StartedRun.begin(this, timeoutNs, parked);
      return parked.await();
    } finally {
      core.numParked.getAndDecrement();
    }
  }

  /** Wakes the virtual thread that waits for a run. */
  private static final class Parked implements StartedRun.Listener {
    /**
     * How long a virtual thread keeps its carrier if its run is alone: a short run ends sooner than
     * a thread can park and be woken up.
     */
    private static final long STAY = 20_000; // ns

    private static final boolean HAS_CPUS = Runtime.getRuntime().availableProcessors() > 1;

    private final Workspace w;
    private final Thread thread = Thread.currentThread();
    private final boolean isAlone;
    private volatile boolean isOver;
    private int status;

    Parked(Workspace w, boolean isAlone) {
      this.w = w;
      this.isAlone = isAlone;
    }

    @Override
    public boolean started(StartedRun run) {
      w.run = run;
      if (!isAlone || !HAS_CPUS || Thread.currentThread() != thread || !run.take()) {
        return false;
      }
      long begin = System.nanoTime();
      do {
        status = run.finish(0);
        isOver = !Finisher.isPending(status);
        Thread.onSpinWait();
      } while (!isOver && System.nanoTime() - begin < STAY);
      if (isOver) {
        run.end(status);
      } else {
        run.giveBack();
      }
      return isOver;
    }

    @Override
    public void ended(int status) {
      this.status = status;
      isOver = true;
      LockSupport.unpark(thread);
    }

    int await() {
      boolean wasInterrupted = false;
      while (!isOver) {
        LockSupport.park(this);
        wasInterrupted |= Thread.interrupted(); // otherwise park would return at once
      }
      w.run = null;
      if (wasInterrupted) {
        thread.interrupt();
      }
      return status;
    }
  }
}
