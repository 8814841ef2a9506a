package dev.sidecall;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;

/**
 * What a model and its calls share: the handle, which lives until the model is closed and no
 * function uses it any more, and the workspaces that no run uses at present.
 */
final class Core {
  final boolean isRemote; // its runs wait for another process
  final long timeoutNs;
  final List<FeatureSpec> features;
  final List<TensorSpec> inputs;
  final List<TensorSpec> outputs;
  final Map<String, Integer> featureIndex = new HashMap<>();
  final Map<Plan.Key, Plan> plans = new ConcurrentHashMap<>();

  final int numColumns;

  private final long handle;
  private final int maxCalls;
  private volatile List<ColumnSpec> columns; // there may be a million, so they are read when needed

  // A lock of java.util.concurrent, because virtual threads wait for it without their carrier.
  private final ReentrantLock lock = new ReentrantLock();
  private final ArrayDeque<Workspace> idle = new ArrayDeque<>();
  private final ArrayDeque<CompletableFuture<Workspace>> waiting = new ArrayDeque<>();
  private int open; // workspaces, idle or not
  private int users; // functions that use the handle at present, and workspaces that are not idle
  private boolean isClosed;

  Core(long handle, Options options) {
    this.handle = handle;
    isRemote = Native.modelRoute(handle) != Header.ROUTE_IN_PROCESS;
    timeoutNs = options.timeoutNs();
    maxCalls = options.maxCalls();
    inputs = readTensors(true);
    outputs = readTensors(false);
    List<FeatureSpec> read = new ArrayList<>();
    for (int i = 0, n = Native.count(Native.NUM_FEATURES, handle); i < n; ++i) {
      read.add(FeatureSpec.of(Native.spec(Native.FEATURE_SPEC, handle, i)));
      featureIndex.put(read.get(i).name(), i);
    }
    features = List.copyOf(read);
    numColumns = Native.count(Native.NUM_COLUMNS, handle);
  }

  private List<TensorSpec> readTensors(boolean isInput) {
    List<TensorSpec> read = new ArrayList<>();
    int count = Native.count(isInput ? Native.NUM_INPUTS : Native.NUM_OUTPUTS, handle);
    for (int i = 0; i < count; ++i) {
      read.add(
          TensorSpec.of(
              Native.spec(isInput ? Native.INPUT_SPEC : Native.OUTPUT_SPEC, handle, i)));
    }
    return List.copyOf(read);
  }

  List<ColumnSpec> columns() {
    List<ColumnSpec> found = columns;
    if (found == null) {
      found = List.copyOf(use(this::readColumns));
      columns = found;
    }
    return found;
  }

  private List<ColumnSpec> readColumns(long handle) {
    List<ColumnSpec> read = new ArrayList<>();
    for (int i = 0, n = Native.count(Native.NUM_COLUMNS, handle); i < n; ++i) {
      read.add(ColumnSpec.of(Native.spec(Native.COLUMN_SPEC, handle, i), outputs));
    }
    return read;
  }

  /** Uses the handle of a model. */
  interface Use<T> {
    T apply(long handle);
  }

  /**
   * Calls a function while the handle is open.
   *
   * @throws SidecallException INVALID_ARGUMENT if the model is closed
   */
  <T> T use(Use<T> function) {
    hold();
    try {
      return function.apply(handle);
    } finally {
      letGo();
    }
  }

  private static SidecallException closed() {
    return SidecallException.refuse(
        Code.INVALID_ARGUMENT, "model: expected an open model, got a closed one");
  }

  void requireOpen() {
    hold();
    letGo();
  }

  /**
   * A thread holds this lock for only about ten nanoseconds, so a thread that finds it taken tries
   * again before it parks.
   */
  private void lock() {
    for (int i = 0; i < 100; ++i) {
      if (lock.tryLock()) {
        return;
      }
      Thread.onSpinWait();
    }
    lock.lock();
  }

  private void hold() {
    lock();
    try {
      if (isClosed) {
        throw closed();
      }
      ++users;
    } finally {
      lock.unlock();
    }
  }

  private void letGo() {
    boolean isLast;
    lock();
    try {
      --users;
      isLast = isClosed && users == 0;
    } finally {
      lock.unlock();
    }
    if (isLast) {
      release();
    }
  }

  /** Releases the handle. If a process was started for the model, waits until it has ended. */
  private void release() {
    idle.forEach(Workspace::close);
    Waits.call(
        isRemote,
        () -> {
          Native.modelClose(handle);
          return null;
        });
  }

  /** Closes the model; does nothing if it is closed. Runs that are under way end as usual. */
  void close() {
    List<CompletableFuture<Workspace>> refused;
    boolean isLast;
    lock();
    try {
      if (isClosed) {
        return;
      }
      isClosed = true;
      refused = List.copyOf(waiting);
      waiting.clear();
      isLast = users == 0;
    } finally {
      lock.unlock();
    }
    refused.forEach(waiter -> waiter.completeExceptionally(closed()));
    if (isLast) {
      release();
    }
  }

  /** Opens a call for so many rows, which the program uses. */
  Workspace openWorkspace(long rows) {
    return use(
        model -> {
          Workspace w = new Workspace(this);
          try {
            int status = Native.callOpen(model, rows, w.scratch, w.error);
            w.call = Memory.getLong(w.scratch);
            w.check(status);
            return w;
          } catch (Throwable e) {
            w.close();
            throw e;
          }
        });
  }

  /** Gives a workspace a call of the library, without inputs. */
  void takeCall(Workspace w, long rows) {
    w.check(Native.takeCall(handle, rows, w.scratch, w.error));
    w.call = Memory.getLong(w.scratch);
  }

  /** Returns the call of a workspace to the library. The call may be in any state. */
  void giveCall(Workspace w) {
    Native.giveCall(handle, w.call);
    w.call = 0;
    w.held = 0;
  }

  /**
   * Returns a workspace, which the caller gives back.
   *
   * @throws SidecallException TIMEOUT if none became free in time; INVALID_ARGUMENT if the model is
   *     closed
   */
  Workspace take(long timeoutNs) {
    Workspace w = takeFree();
    if (w != null) {
      return w;
    }
    try {
      return takeLater(timeoutNs).join();
    } catch (CompletionException e) {
      throw e.getCause() instanceof SidecallException refused
          ? refused.here()
          : Native.rethrow(e.getCause());
    }
  }

  /** Returns a workspace, which the caller gives back; null if it has to wait for one. */
  Workspace takeFree() {
    lock();
    try {
      if (isClosed || idle.isEmpty() && open == maxCalls) {
        return null;
      }
      Workspace w = idle.pollLast();
      if (w == null) {
        w = new Workspace(this);
        ++open;
      }
      ++users;
      return w;
    } finally {
      lock.unlock();
    }
  }

  /** Returns a future that completes with a workspace, which the caller has to return. */
  CompletableFuture<Workspace> takeLater(long timeoutNs) {
    CompletableFuture<Workspace> waiter = new CompletableFuture<>();
    lock();
    try {
      Workspace w = takeFree();
      if (w != null) {
        waiter.complete(w);
      } else if (isClosed) {
        waiter.completeExceptionally(closed());
      } else {
        waiting.add(waiter);
      }
    } finally {
      lock.unlock();
    }
    if (timeoutNs >= 0 && !waiter.isDone()) {
      CompletableFuture<Void> timer =
          new CompletableFuture<Void>().completeOnTimeout(null, timeoutNs, TimeUnit.NANOSECONDS);
      timer.thenRunAsync(() -> expire(waiter));
      waiter.whenComplete((w, e) -> timer.cancel(false)); // so that the timer releases it
    }
    return waiter;
  }

  private void expire(CompletableFuture<Workspace> waiter) {
    if (waiter.completeExceptionally(Deadline.passed())) {
      lock();
      try {
        waiting.remove(waiter);
      } finally {
        lock.unlock();
      }
    }
  }

  /** Takes a workspace back. */
  void give(Workspace w) {
    if (!w.keepsCall) {
      giveCall(w);
    }
    w.keepsCall = false;
    CompletableFuture<Workspace> waiter;
    boolean isLast = false;
    do {
      lock();
      try {
        waiter = waiting.poll();
        if (waiter == null) {
          idle.addLast(w);
          isLast = --users == 0 && isClosed;
        }
      } finally {
        lock.unlock();
      }
    } while (waiter != null && !waiter.complete(w));
    if (isLast) {
      release();
    }
  }

  /** Uses a workspace of the pool. */
  interface Job<T> {
    T apply(Workspace w, long timeoutNs);
  }

  /** Takes a workspace and runs the job with the time that is left. */
  <T> T with(long timeoutNs, Job<T> job) {
    long begin = timeoutNs < 0 ? 0 : System.nanoTime();
    Workspace w = take(timeoutNs);
    try {
      return job.apply(w, Deadline.remaining(timeoutNs, begin));
    } finally {
      give(w);
    }
  }
}
