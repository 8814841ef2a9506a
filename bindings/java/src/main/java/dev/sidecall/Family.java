package dev.sidecall;

/** A group of {@linkplain Code codes}. */
public enum Family {
  /** The program used the library in a wrong way. */
  USAGE,
  /** The file cannot be read. */
  FILE,
  /** The model cannot be used. */
  MODEL,
  /** The data do not fit the model. */
  DATA,
  /** The connection to another process failed. */
  CHANNEL,
  /** The engine failed. */
  ENGINE,
  /** A bug of sidecall. */
  INTERNAL
}
