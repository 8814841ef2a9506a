package dev.sidecall;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.ReentrantLock;

/**
 * What a model and its calls share: the handle, which lives until the model is closed and no
 * function uses it any more, and the workspaces that no run uses at present.
 */
final class Core {
  final boolean isServed; // by another process
  final long timeoutNs;
  final List<FeatureSpec> features;
  final List<TensorSpec> inputs;
  final List<TensorSpec> outputs;
  final Map<String, Integer> featureIndex = new HashMap<>();
  final Map<Plan.Key, Plan> plans = new ConcurrentHashMap<>();
  final Finisher finisher = new Finisher();
  final AtomicInteger numParked = new AtomicInteger(); // virtual threads that wait for a run

  final int numColumns;

  private final long handle;
  private final int maxCalls;
  private volatile List<ColumnSpec> columns; // there may be a million, so they are read when needed

  // A lock of java.util.concurrent, because virtual threads wait for it without their carrier.
  private final ReentrantLock lock = new ReentrantLock();
  private final ArrayDeque<Workspace> idle = new ArrayDeque<>();
  // Each receives a workspace once, or null: it may open one.
  private final ArrayDeque<CompletableFuture<Workspace>> waiting = new ArrayDeque<>();
  private int open; // workspaces, idle or not
  private int users; // functions that use the handle at present
  private boolean isClosed;

  Core(long handle, boolean isServed, Options options) {
    this.handle = handle;
    this.isServed = isServed;
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
   * What this lock guards takes some ten nanoseconds, so a thread that finds it taken tries again
   * before it parks.
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

  /** A process that was started for the model ends first. */
  private void release() {
    Waits.call(
        isServed,
        () -> {
          Native.modelClose(handle);
          return null;
        });
  }

  /** Closes the model; does nothing if it is closed. Runs that are under way end as usual. */
  void close() {
    List<Workspace> closing;
    List<CompletableFuture<Workspace>> refused;
    boolean isLast;
    lock();
    try {
      if (isClosed) {
        return;
      }
      isClosed = true;
      closing = new ArrayList<>(idle);
      idle.clear();
      refused = new ArrayList<>(waiting);
      waiting.clear();
      isLast = users == 0;
    } finally {
      lock.unlock();
    }
    closing.forEach(Workspace::close);
    refused.forEach(waiter -> waiter.completeExceptionally(closed()));
    if (isLast) {
      release();
    }
  }

  /**
   * Opens a call for so many rows.
   *
   * @param isPooled the call connects to a server when it first runs
   */
  Workspace openWorkspace(long rows, boolean isPooled) {
    return use(
        model -> {
          long out = Native.allocate(Long.BYTES);
          long error = Native.errorOpen(SidecallException.MAX_FAULTS);
          boolean isOpen = false;
          try {
            if (error == 0) {
              throw SidecallException.of(Code.OUT_OF_MEMORY.number(), 0);
            }
            int status =
                isPooled
                    ? Native.callOpenLazy(model, rows, out, error)
                    : Native.callOpen(model, rows, out, error);
            if (status != 0) {
              throw SidecallException.of(status, error);
            }
            Workspace w = new Workspace(this, Memory.getLong(out), error, rows);
            isOpen = true;
            return w;
          } finally {
            if (!isOpen) {
              Native.callClose(Memory.getLong(out));
              Native.errorClose(error);
            }
            Native.free(out);
          }
        });
  }

  /**
   * Returns a workspace, which the caller gives back.
   *
   * @throws SidecallException TIMEOUT if none became free in time; INVALID_ARGUMENT if the model is
   *     closed
   */
  Workspace take(long timeoutNs) {
    CompletableFuture<Workspace> waiter = null;
    lock();
    try {
      Workspace w = idle.pollLast();
      if (w != null) {
        return w;
      }
      if (isClosed) {
        throw closed();
      }
      if (open < maxCalls) {
        ++open;
      } else {
        waiter = new CompletableFuture<>();
        waiting.add(waiter);
      }
    } finally {
      lock.unlock();
    }
    if (waiter == null) {
      return openPooled();
    }
    boolean isTaken = false;
    try {
      Workspace w = await(waiter, timeoutNs);
      isTaken = true;
      return w != null ? w : openPooled();
    } finally {
      if (!isTaken) {
        abandon(waiter);
      }
    }
  }

  /** Waiting for a workspace has failed. One that comes nevertheless goes to others. */
  private void abandon(CompletableFuture<Workspace> waiter) {
    if (waiter.completeExceptionally(Deadline.passed())) {
      forget(waiter);
    } else if (!waiter.isCompletedExceptionally()) {
      Workspace w = waiter.join(); // it came at the same moment
      if (w != null) {
        give(w, true);
      } else {
        leave();
      }
    }
  }

  /** Returns a workspace, which the caller gives back; null if none is idle. */
  Workspace takeIdle() {
    lock();
    try {
      return idle.pollLast();
    } finally {
      lock.unlock();
    }
  }

  private Workspace await(CompletableFuture<Workspace> waiter, long timeoutNs) {
    boolean wasInterrupted = false;
    long begin = System.nanoTime();
    try {
      while (true) {
        try {
          return timeoutNs < 0
              ? waiter.get()
              : waiter.get(Deadline.remaining(timeoutNs, begin), TimeUnit.NANOSECONDS);
        } catch (InterruptedException e) {
          wasInterrupted = true;
        } catch (TimeoutException e) {
          if (waiter.completeExceptionally(Deadline.passed())) {
            forget(waiter);
          }
        } catch (ExecutionException e) {
          throw e.getCause() instanceof SidecallException refused
              ? refused.here()
              : new IllegalStateException(e);
        }
      }
    } finally {
      if (wasInterrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }

  private void forget(CompletableFuture<Workspace> waiter) {
    lock();
    try {
      waiting.remove(waiter);
    } finally {
      lock.unlock();
    }
  }

  /** Returns a future of a workspace, which the caller gives back; of null if it may open one. */
  CompletableFuture<Workspace> takeLater(long timeoutNs) {
    CompletableFuture<Workspace> waiter = new CompletableFuture<>();
    lock();
    try {
      Workspace w = idle.pollLast();
      if (w != null || !isClosed && open < maxCalls) {
        open += w == null ? 1 : 0;
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
      timer.thenRunAsync(
          () -> {
            if (waiter.completeExceptionally(Deadline.passed())) {
              forget(waiter);
            }
          });
      waiter.whenComplete((w, e) -> timer.cancel(false)); // so that the timer holds nothing longer
    }
    return waiter;
  }

  /** Opens one of the workspaces that the pool counts. */
  Workspace openPooled() {
    boolean isOpen = false;
    try {
      Workspace w = openWorkspace(1, true);
      isOpen = true;
      return w;
    } finally {
      if (!isOpen) {
        leave();
      }
    }
  }

  /** There is one workspace less, so that one of those who wait may open another. */
  private void leave() {
    CompletableFuture<Workspace> waiter;
    do {
      lock();
      try {
        waiter = waiting.poll();
        if (waiter == null) {
          --open;
          return;
        }
      } finally {
        lock.unlock();
      }
    } while (!waiter.complete(null));
  }

  /**
   * Takes a workspace back. One that is not reusable is closed: the engine or the server may still
   * use its memory.
   */
  void give(Workspace w, boolean isReusable) {
    if (!isReusable) {
      w.close();
      leave();
      return;
    }
    CompletableFuture<Workspace> waiter;
    do {
      lock();
      try {
        waiter = waiting.poll();
        if (waiter == null && !isClosed) {
          idle.addLast(w);
          return;
        }
      } finally {
        lock.unlock();
      }
      if (waiter == null) {
        w.close();
        return;
      }
    } while (!waiter.complete(w));
  }

  /** Uses a workspace of the pool. */
  interface Job<T> {
    T apply(Workspace w, long timeoutNs);
  }

  /** Takes a workspace for a job, which has what is left of the time. */
  <T> T with(long timeoutNs, Job<T> job) {
    long begin = timeoutNs < 0 ? 0 : System.nanoTime();
    Workspace w = take(timeoutNs);
    boolean isReusable = false;
    try {
      T result = job.apply(w, Deadline.remaining(timeoutNs, begin));
      isReusable = true;
      return result;
    } catch (SidecallException e) {
      isReusable = isReusable(e);
      throw e;
    } finally {
      give(w, isReusable);
    }
  }

  /** Tells whether a workspace can be used again after a run that ended so. */
  static boolean isReusable(SidecallException e) {
    return e.code() != Code.TIMEOUT && e.code() != Code.CANCELLED;
  }
}
