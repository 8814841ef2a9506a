package dev.sidecall;

import java.time.Duration;
import java.util.Objects;

/**
 * How a model is opened. Each {@code with} method returns a copy with another value:
 *
 * <pre>{@code
 * var options = Options.DEFAULTS.withWait(Duration.ofSeconds(5)).withMaxCalls(64);
 * try (var model = Sidecall.open("shm:fraud", options)) { ... }
 * }</pre>
 */
public final class Options {
  /** What happens at open if golden rows give other answers than at export. */
  public enum Verify {
    /** Opening fails with {@link Code#VERIFICATION_FAILED}; the default. */
    ERROR,
    /** Opening succeeds; see {@link Model#warning}. */
    WARN,
    /** Golden rows do not run. */
    OFF
  }

  /** What happens to a record that has a feature that the model does not know. */
  public enum Extra {
    /** The record is refused with {@link Code#UNKNOWN_NAME}; the default. */
    ERROR,
    /** Such features are skipped. */
    IGNORE
  }

  /** Which engine runs a file. */
  public enum Engine {
    /** The native engine if the export proved the file on it, otherwise ONNX Runtime. */
    AUTO,
    /** The engine of sidecall. */
    NATIVE,
    /** ONNX Runtime. */
    ONNXRUNTIME
  }

  /** The defaults of the library. */
  public static final Options DEFAULTS = new Options();

  private Verify verify = Verify.ERROR;
  private Extra extra = Extra.ERROR;
  private Engine engine = Engine.AUTO;
  private boolean allowExec;
  private long timeoutNs = -1;
  private long waitNs;
  private String onnxruntime;
  private int maxCalls = 256;

  private Options() {}

  private Options(Options other) {
    verify = other.verify;
    extra = other.extra;
    engine = other.engine;
    allowExec = other.allowExec;
    timeoutNs = other.timeoutNs;
    waitNs = other.waitNs;
    onnxruntime = other.onnxruntime;
    maxCalls = other.maxCalls;
  }

  /**
   * Says what happens if golden rows give other answers than at export.
   *
   * @param verify what happens
   * @return the options with this value
   */
  public Options withVerify(Verify verify) {
    Options copy = new Options(this);
    copy.verify = Objects.requireNonNull(verify, "verify");
    return copy;
  }

  /**
   * Says what happens to features that the model does not know.
   *
   * @param extra what happens
   * @return the options with this value
   */
  public Options withExtra(Extra extra) {
    Options copy = new Options(this);
    copy.extra = Objects.requireNonNull(extra, "extra");
    return copy;
  }

  /**
   * Says which engine runs a file.
   *
   * @param engine the engine
   * @return the options with this value
   */
  public Options withEngine(Engine engine) {
    Options copy = new Options(this);
    copy.engine = Objects.requireNonNull(engine, "engine");
    return copy;
  }

  /**
   * Allows {@code exec:} URIs, which start a program. Leave it false if URIs may come from outside.
   *
   * @param allowExec whether such URIs are allowed
   * @return the options with this value
   */
  public Options withAllowExec(boolean allowExec) {
    Options copy = new Options(this);
    copy.allowExec = allowExec;
    return copy;
  }

  /**
   * Sets the deadline of all runs that are not given one of their own. Without it, a run of a file
   * waits as long as it takes, and a run of a served model at most for the timeout of its server,
   * 30 seconds by default.
   *
   * @param timeout more than 0
   * @return the options with this value
   * @throws SidecallException INVALID_ARGUMENT if the time is not more than 0
   */
  public Options withTimeout(Duration timeout) {
    Options copy = new Options(this);
    copy.timeoutNs = Deadline.nanoseconds(timeout);
    return copy;
  }

  /**
   * Says how long to wait for the server of a served model to start, at open and in a run that
   * finds it restarting. Without it nothing waits.
   *
   * @param wait how long; a negative time waits for ever
   * @return the options with this value
   */
  public Options withWait(Duration wait) {
    Objects.requireNonNull(wait, "wait");
    Options copy = new Options(this);
    copy.waitNs = wait.isNegative() ? -1 : Deadline.saturated(wait);
    return copy;
  }

  /**
   * Names the library of ONNX Runtime.
   *
   * @param path its path
   * @return the options with this value
   */
  public Options withOnnxruntime(String path) {
    Options copy = new Options(this);
    copy.onnxruntime = Objects.requireNonNull(path, "path");
    return copy;
  }

  /**
   * Limits how many runs of {@link Model} and {@link Predictor} are under way at once; further ones
   * wait for their turn, within their deadline. The default is 256. Each run needs memory, and a
   * connection if the model is served. A {@link Call} does not count.
   *
   * @param maxCalls 1 or more
   * @return the options with this value
   * @throws SidecallException INVALID_ARGUMENT if the number is less than 1
   */
  public Options withMaxCalls(int maxCalls) {
    if (maxCalls < 1) {
      throw SidecallException.refuse(
          Code.INVALID_ARGUMENT, "maxCalls: expected 1 or more, got a smaller number");
    }
    Options copy = new Options(this);
    copy.maxCalls = maxCalls;
    return copy;
  }

  int maxCalls() {
    return maxCalls;
  }

  long timeoutNs() {
    return timeoutNs;
  }

  /** Returns the options as a struct of the library, which {@link #free} releases. */
  long toNative() {
    long struct = Native.allocate(Header.ModelOptions.SIZE);
    Native.modelOptionsInit(struct, Header.ModelOptions.SIZE);
    Memory.putInt(struct + Header.ModelOptions.VERIFY, verify.ordinal());
    Memory.putInt(struct + Header.ModelOptions.EXTRA, extra.ordinal());
    Memory.putInt(struct + Header.ModelOptions.ALLOW_EXEC, allowExec ? 1 : 0);
    Memory.putLong(struct + Header.ModelOptions.TIMEOUT_NS, timeoutNs);
    Memory.putLong(struct + Header.ModelOptions.WAIT_NS, waitNs);
    if (onnxruntime != null) {
      Memory.putLong(struct + Header.ModelOptions.ONNXRUNTIME, Native.nativeText(onnxruntime));
    }
    Memory.putInt(struct + Header.ModelOptions.ENGINE, engine.ordinal());
    return struct;
  }

  static void free(long struct) {
    Native.free(Memory.getLong(struct + Header.ModelOptions.ONNXRUNTIME));
    Native.free(struct);
  }
}
