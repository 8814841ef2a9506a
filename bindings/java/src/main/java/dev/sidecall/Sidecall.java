package dev.sidecall;

import java.nio.charset.StandardCharsets;
import java.util.Objects;

/**
 * Opens models.
 *
 * <pre>{@code
 * record Order(double amount, String country) {} // null is a missing value
 * record Verdict(String label, @Name("probabilities.fraud") double fraud) {}
 *
 * try (var model = Sidecall.open("fraud.onnx")) { // or "shm:fraud"
 *   var verdict = model.predict(new Order(12.5, null), Verdict.class);
 *   System.out.println(verdict.label() + " " + verdict.fraud());
 * }
 * }</pre>
 *
 * <p>All functions need libsidecall. They look for it here, in this order; if 1 or 2 is set, only
 * that place is searched:
 *
 * <ol>
 *   <li>the system property {@code sidecall.library}, a path
 *   <li>the environment variable {@code SIDECALL_LIBRARY}, a path
 *   <li>the resource {@code dev/sidecall/native/linux-x86_64/libsidecall.so} (or that of another
 *       architecture) of a jar on the class path or of a module of the program, which is written to
 *       a private folder of the user's cache
 *   <li>the folders of {@code java.library.path}
 *   <li>the search path of the dynamic loader
 * </ol>
 *
 * <p>If no library is found, they fail with {@link Code#FILE_NOT_FOUND}; if it is too old, with
 * {@link Code#UNSUPPORTED}; and if Java does not allow native access, with {@link Code#DENIED}.
 */
public final class Sidecall {
  private Sidecall() {}

  /**
   * Opens a model with the default options.
   *
   * @param uri a path, {@code shm:NAME} for a model that another process of this host serves, or
   *     another URI that sidecall.h describes
   * @return the model, which the caller closes
   * @throws SidecallException as sidecall_model_open documents, such as FILE_NOT_FOUND
   */
  public static Model open(String uri) {
    return open(uri, Options.DEFAULTS);
  }

  /**
   * Opens a model.
   *
   * @param uri as for {@link #open(String)}
   * @param options how to open it
   * @return the model, which the caller closes
   * @throws SidecallException as sidecall_model_open documents, such as FILE_NOT_FOUND
   */
  public static Model open(String uri, Options options) {
    Objects.requireNonNull(uri, "uri");
    Objects.requireNonNull(options, "options");
    Library.symbols();
    if (uri.indexOf('\0') >= 0) {
      throw SidecallException.refuse(
          Code.INVALID_ARGUMENT, "uri: expected a text without NUL, got one with a NUL");
    }
    long text = Native.nativeText(uri);
    try {
      return open(
          options,
          true,
          (struct, out, error) -> Native.modelOpen(text, struct, out, error));
    } finally {
      Native.free(text);
    }
  }

  /**
   * Opens a model from the bytes of an ONNX file. It cannot have external data.
   *
   * @param data the bytes, which are copied
   * @param options how to open it
   * @return the model, which the caller closes
   * @throws SidecallException as sidecall_model_open_bytes documents, such as FILE_INVALID
   */
  public static Model open(byte[] data, Options options) {
    Objects.requireNonNull(data, "data");
    Objects.requireNonNull(options, "options");
    Library.symbols();
    long copy = Native.allocate(data.length);
    try {
      Memory.copyIn(copy, data);
      return open(
          options,
          false,
          (struct, out, error) -> Native.modelOpenBytes(copy, data.length, struct, out, error));
    } finally {
      Native.free(copy);
    }
  }

  private interface Open {
    int apply(long options, long out, long error);
  }

  private static Model open(Options options, boolean mayWait, Open function) {
    long struct = options.toNative();
    try {
      return Waits.call(
          mayWait,
          () ->
              Outcome.of(
                  (out, error) -> function.apply(struct, out, error),
                  model -> new Model(new Core(model, options))));
    } finally {
      Options.free(struct);
    }
  }

  /**
   * Returns the version of the native library.
   *
   * @return the version, such as "0.1.0"
   * @throws SidecallException FILE_NOT_FOUND if there is no library
   */
  public static String version() {
    Library.symbols();
    return Memory.text(Native.version());
  }

  /**
   * Finds and loads ONNX Runtime, as the first model that needs it would, and describes what was
   * found.
   *
   * @return JSON, which sidecall_engine_describe documents
   * @throws SidecallException ENGINE_NOT_FOUND, ENGINE_TOO_OLD, ENGINE
   */
  public static String describeEngine() {
    return describeEngine(Options.DEFAULTS);
  }

  /**
   * Finds and loads ONNX Runtime as a model with these options would, and describes what was found.
   *
   * @param options where to look
   * @return JSON, which sidecall_engine_describe documents
   * @throws SidecallException ENGINE_NOT_FOUND, ENGINE_TOO_OLD, ENGINE
   */
  public static String describeEngine(Options options) {
    Objects.requireNonNull(options, "options");
    Library.symbols();
    long struct = options.toNative();
    try {
      return Outcome.of(
          (out, error) -> Native.engineDescribe(struct, out, error),
          text -> new String(Native.takeText(text), StandardCharsets.UTF_8));
    } finally {
      Options.free(struct);
    }
  }
}
