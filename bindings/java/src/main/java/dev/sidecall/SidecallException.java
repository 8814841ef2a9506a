package dev.sidecall;

import java.util.ArrayList;
import java.util.List;

/**
 * Says why the library refused something. The codes and texts are the same in every language.
 *
 * <pre>{@code
 * try {
 *   verdict = predictor.predict(order);
 * } catch (SidecallException e) {
 *   if (e.family() == Family.DATA) {
 *     e.faults().forEach(fault -> log.warn(fault.message()));
 *   }
 * }
 * }</pre>
 *
 * @serial exclude
 */
public final class SidecallException extends RuntimeException {
  private static final long serialVersionUID = 1;

  /** The largest number of faults that the library keeps for one run. */
  static final int MAX_FAULTS = 1000;

  private final Code code;
  private final boolean isRetryable;
  private final long row;
  private final String name;
  private final String expected;
  private final String got;
  private final int numFaults;
  private final transient List<Fault> faults;
  private String report = "";

  private SidecallException(
      String message,
      Code code,
      boolean isRetryable,
      long row,
      String name,
      String expected,
      String got,
      int numFaults,
      List<Fault> faults) {
    super(message);
    this.code = code;
    this.isRetryable = isRetryable;
    this.row = row;
    this.name = name;
    this.expected = expected;
    this.got = got;
    this.numFaults = numFaults;
    this.faults = faults;
  }

  /** An error that this package finds before it calls the library. */
  static SidecallException refuse(Code code, String message) {
    return refuse(code, "", "", "", message);
  }

  static SidecallException refuse(
      Code code, String name, String expected, String got, String message) {
    boolean isRetryable = code == Code.TIMEOUT || code == Code.BUSY || code == Code.OUT_OF_MEMORY;
    return new SidecallException(
        message, code, isRetryable, -1, name, expected, got, 0, List.of());
  }

  /** Copies what the library wrote. */
  static SidecallException of(int status, long error) {
    Code code = Code.of(status);
    if (error == 0) {
      return refuse(code, "out of memory");
    }
    List<Fault> faults = new ArrayList<>();
    for (int i = 0; i < MAX_FAULTS; ++i) {
      long fault = Native.errorFault(error, i);
      if (fault == 0) {
        break;
      }
      faults.add(
          new Fault(
              Code.of(Native.faultStatus(fault)),
              Native.faultRow(fault),
              Native.text(Native.FAULT_NAME, fault),
              Native.text(Native.FAULT_EXPECTED, fault),
              Native.text(Native.FAULT_GOT, fault),
              Native.text(Native.FAULT_MESSAGE, fault)));
    }
    return new SidecallException(
        Native.text(Native.ERROR_MESSAGE, error),
        code,
        Native.errorRetryable(error),
        Native.errorRow(error),
        Native.text(Native.ERROR_NAME, error),
        Native.text(Native.ERROR_EXPECTED, error),
        Native.text(Native.ERROR_GOT, error),
        Native.errorNumFaults(error),
        List.copyOf(faults));
  }

  /**
   * The same error with the stack of the thread that calls this. The outcome of an asynchronous run
   * is made by another thread, whose stack says nothing about the program.
   */
  SidecallException here() {
    SidecallException copy =
        new SidecallException(
            getMessage(), code, isRetryable, row, name, expected, got, numFaults, faults);
    copy.initCause(this);
    copy.report = report;
    return copy;
  }

  SidecallException withReport(String report) {
    this.report = report;
    return this;
  }

  /**
   * Returns the kind of error.
   *
   * @return the code
   */
  public Code code() {
    return code;
  }

  /**
   * Returns the group of the code.
   *
   * @return the group
   */
  public Family family() {
    return code.family();
  }

  /**
   * Tells whether the same function may succeed later.
   *
   * @return true if trying again can help
   */
  public boolean isRetryable() {
    return isRetryable;
  }

  /**
   * Returns the row of the first fault.
   *
   * @return the row, from 0; -1 for none
   */
  public long row() {
    return row;
  }

  /**
   * Returns what the first fault is about.
   *
   * @return the name of a feature, input, column or step of the model; "" for none
   */
  public String name() {
    return name;
  }

  /**
   * Returns what was expected at the first fault.
   *
   * @return such as "float32"; "" for none
   */
  public String expected() {
    return expected;
  }

  /**
   * Returns what was found at the first fault.
   *
   * @return such as "string", never a value of the data; "" for none
   */
  public String got() {
    return got;
  }

  /**
   * Returns the number of faults, also of those that were not kept.
   *
   * @return the number of faults; 0 if no value, name or row is to blame
   */
  public int numFaults() {
    return numFaults;
  }

  /**
   * Returns the faults, sorted by row.
   *
   * @return at most 1000 faults; empty if no value, name or row is to blame
   */
  public List<Fault> faults() {
    return faults == null ? List.of() : faults; // null if the exception was deserialised
  }

  /**
   * Returns the report of {@link Model#verify} if it failed with VERIFICATION_FAILED.
   *
   * @return the report as JSON; "" for other errors
   */
  public String report() {
    return report;
  }
}
