package dev.sidecall;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;

/**
 * Native memory for records, their answers and errors, and a call of the library. One thread uses
 * it at a time.
 */
final class Workspace {
  /** The bytes of `scratch`: enough for a view, or for one outcome and the number of outcomes. */
  private static final int SCRATCH =
      Math.max(Header.View.SIZE, Header.Completion.SIZE + Long.BYTES);

  final Core core;
  final long error;

  /** Native memory for out parameters, a view, or the outcome of a run. */
  final long scratch;

  /** One sidecall_value for each feature. */
  final long values;

  /** The number of this workspace in {@link Completions}. */
  final int slot;

  /** The call of the library; 0 if there is none. */
  long call;

  /** Whether the next record may use the call unchanged, because it sets all features anyway. */
  boolean keepsCall;

  /** Whether the call remembers names that the model does not know. */
  boolean isDirty;

  /** The run that {@link Completions} has. */
  volatile Completions.Run run;

  /** The number of the last run if the engine may still use the memory of the call; else 0. */
  long held;

  // Used by the thread of Completions.
  Completions.Run seen;
  long seenAt; // a System.nanoTime: when it first saw the run

  private Object owner; // which plan has filled `values` last: its features alone are set
  private long answer;
  private int answerCapacity;
  private String[] lastTexts = new String[0];
  private byte[][] lastBytes = new byte[0][];
  private final Buffer text = new Buffer();
  private long copiedBytes;
  private Buffer tensor; // the tensor, or a column of a table, that is copied next

  Workspace(Core core) {
    this.core = core;
    error = Native.errorOpen(SidecallException.MAX_FAULTS);
    if (error == 0) {
      throw SidecallException.of(Code.OUT_OF_MEMORY.number(), 0);
    }
    scratch = Native.allocate(SCRATCH);
    values = Native.allocate((long) Header.Value.SIZE * core.features.size());
    slot = Completions.register(this);
  }

  /** Releases everything. A run that was given up goes on in the library. */
  void close() {
    Completions.unregister(slot);
    long closing = call;
    Waits.call(
        core.isRemote,
        () -> {
          Native.callClose(closing); // the last call of a closed model releases that, too
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

  /** Makes sure that there is a call with one row, all of whose features the caller sets. */
  void needCall() {
    if (call == 0) {
      core.takeCall(this, 1);
    }
    isDirty = false;
  }

  /** Makes sure that there is a call with so many rows and no inputs. */
  void needEmptyCall(long rows) {
    core.giveCall(this);
    core.takeCall(this, rows);
  }

  void check(int status) {
    if (status != 0) {
      throw SidecallException.of(status, error);
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
    Memory.clear(values, (long) Header.Value.SIZE * core.features.size());
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
      long larger = Native.allocate((long) Header.Value.SIZE * columns);
      Native.free(answer);
      answer = larger;
      answerCapacity = columns;
      lastTexts = new String[columns];
      lastBytes = new byte[columns][];
    }
  }

  long answerAt(int index) {
    return answer + (long) Header.Value.SIZE * index;
  }

  /**
   * Returns a text of the answer. Most text columns have few different values, so this method keeps
   * the last text of each column and returns it again if the bytes are equal.
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
   * Checks whether the engine still uses the memory of the call, and waits for at most `waitNs`
   * until it no longer does.
   */
  void awaitFree(long waitNs) {
    if (Completions.take(this, held, waitNs) != Completions.PENDING) {
      held = 0;
    }
  }

  /**
   * Runs the call and returns its status. If the model is served and this is a virtual thread, it
   * parks during the run, because waiting inside the library would occupy its carrier thread.
   */
  int run(long timeoutNs) {
    if (held != 0) {
      awaitFree(-1);
    }
    return core.isRemote && Thread.currentThread().isVirtual()
        ? runParked(timeoutNs)
        : Native.callRun(call, timeoutNs, error);
  }

  private int runParked(long timeoutNs) {
    Parked parked = new Parked();
    try {
      int status = Completions.submit(this, timeoutNs, parked);
      return status != 0 || parked.await(this) == 0 ? status : Native.callError(call, error);
    } finally {
      Parked.WAITING.getAndDecrement();
    }
  }

  /** The run of a virtual thread that waits for it. */
  private static final class Parked implements Completions.Run {
    /**
     * How long a virtual thread occupies its carrier thread before it parks, if no other virtual
     * thread waits: a short run ends sooner than a thread can park and be woken up.
     */
    private static final long STAY = 20_000; // ns

    private static final boolean HAS_CPUS = Runtime.getRuntime().availableProcessors() > 1;
    private static final AtomicInteger WAITING = new AtomicInteger();

    private final Thread thread = Thread.currentThread();
    private final boolean isAlone = WAITING.getAndIncrement() == 0 && HAS_CPUS;
    private volatile boolean isParked;
    private volatile boolean isOver;
    private long number;
    private int status;

    Parked() {
      if (isAlone) {
        Completions.beLazy();
      }
    }

    @Override
    public void submitted(long number) {
      this.number = number;
    }

    @Override
    public boolean isAwaited() {
      return isParked || !isAlone;
    }

    @Override
    public void ended(int status) {
      this.status = status;
      isOver = true;
      LockSupport.unpark(thread);
    }

    @Override
    public boolean deliver() {
      return false; // the thread was woken up
    }

    int await(Workspace w) {
      if (isAlone && stay(w)) {
        return status;
      }
      boolean wasInterrupted = false;
      isParked = true;
      Completions.hurry();
      while (!isOver) {
        LockSupport.park(this);
        wasInterrupted |= Thread.interrupted(); // otherwise park would return at once
      }
      if (wasInterrupted) {
        thread.interrupt();
      }
      return status;
    }

    private boolean stay(Workspace w) {
      long begin = System.nanoTime();
      int found = Completions.PENDING;
      while (found == Completions.PENDING && System.nanoTime() - begin < STAY) {
        Thread.onSpinWait();
        found = Completions.take(w, number, 0);
      }
      if (found != Completions.PENDING && found != Completions.ELSEWHERE) {
        status = found;
        return true;
      }
      return false;
    }
  }
}
