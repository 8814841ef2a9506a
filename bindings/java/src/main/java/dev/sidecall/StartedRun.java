package dev.sidecall;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/**
 * Starts the runs of a workspace, one at a time. The thread of the {@link Reactor} takes their
 * outcomes, so that no thread waits for a run.
 */
final class StartedRun {
  /** Is told the outcome of a run, once, by any thread. It must not block. */
  interface Listener {
    void ended(int status);

    /** The run is under way, or has just ended. Not called if it could not be started. */
    default void started() {}
  }

  private static final int PENDING = 14; // has no Code, because no function here returns it
  private static final int IDLE = 0;
  private static final int UNDER_WAY = 1;
  private static final int FINISHING = 2;

  private static final VarHandle STATE;

  static {
    try {
      STATE = MethodHandles.lookup().findVarHandle(StartedRun.class, "state", int.class);
    } catch (ReflectiveOperationException e) {
      throw new ExceptionInInitializerError(e);
    }
  }

  /**
   * Threads for starts that have to wait for another process: to connect, or until it no longer
   * uses the memory of an earlier run. There are as many as there are such starts.
   */
  private static final ExecutorService CONNECTORS =
      new ThreadPoolExecutor(
          0,
          Integer.MAX_VALUE,
          10,
          TimeUnit.SECONDS,
          new SynchronousQueue<>(),
          task -> {
            Thread thread = new Thread(task, "sidecall-connect");
            thread.setDaemon(true);
            return thread;
          });

  private final Workspace w;
  private final Reactor reactor;
  final int fd;
  private Listener listener;

  // IDLE: the thread that has the workspace may use the call. UNDER_WAY: no thread may use it until
  // the reactor gets the next event. FINISHING: only the reactor may use it.
  private volatile int state;

  private StartedRun(Workspace w, Reactor reactor, int fd) {
    this.w = w;
    this.reactor = reactor;
    this.fd = fd;
  }

  /** Returns null if the process has no descriptor left. */
  static StartedRun of(Workspace w) {
    if (Native.callFd(w.call, w.scratch, w.error) != 0) {
      return null;
    }
    Reactor reactor = Reactor.get();
    if (reactor == null) {
      return null;
    }
    StartedRun run = new StartedRun(w, reactor, Memory.getInt(w.scratch));
    return reactor.add(run) ? run : null;
  }

  /** The call is closed next. */
  void stopWatching() {
    reactor.remove(this);
  }

  /** Starts a run of the inputs that the call has. */
  void begin(long timeoutNs, Listener listener) {
    long begin = System.nanoTime();
    int status = Native.callTryStart(w.call, timeoutNs, w.scratch, w.error);
    if (status != 0) {
      listener.ended(status);
    } else if (Memory.getInt(w.scratch) != 0) {
      watch(listener);
    } else {
      try {
        CONNECTORS.execute(() -> connect(Deadline.remaining(timeoutNs, begin), listener));
      } catch (RuntimeException | OutOfMemoryError e) { // no thread is left
        connect(Deadline.remaining(timeoutNs, begin), listener);
      }
    }
  }

  private void connect(long timeoutNs, Listener listener) {
    int status = Native.callStart(w.call, timeoutNs, w.error);
    if (status != 0) {
      listener.ended(status);
    } else {
      watch(listener);
    }
  }

  private void watch(Listener listener) {
    this.listener = listener;
    state = UNDER_WAY;
    reactor.arm(fd);
    listener.started();
  }

  /**
   * The descriptor is readable, perhaps spuriously, or because of an earlier run. Called by the
   * reactor only.
   */
  void readable() {
    if (!STATE.compareAndSet(this, UNDER_WAY, FINISHING)) {
      return;
    }
    int status = Native.callFinish(w.call, 0, w.error);
    if (status == PENDING) {
      state = UNDER_WAY;
      reactor.arm(fd);
      return;
    }
    Listener told = listener;
    listener = null;
    state = IDLE;
    told.ended(status);
  }
}
