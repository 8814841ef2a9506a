package dev.sidecall;

import java.lang.invoke.MethodHandle;
import java.lang.ref.Cleaner;
import java.lang.ref.Reference;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;

/**
 * An open model. Open it once with {@link Sidecall#open(String)} and keep it. Any number of threads
 * may use it at once.
 *
 * <p>{@link #close} releases it. Runs that are under way then end as usual, and calls that are open
 * stay usable; every other function of a closed model fails with INVALID_ARGUMENT. A model that the
 * program has forgotten is released by the garbage collector.
 *
 * <pre>{@code
 * try (var model = Sidecall.open("fraud.onnx")) {
 *   Map<String, Object> answer = model.predict(Map.of("amount", 12.5, "country", "DE"));
 *   System.out.println(answer.get("label")); // the answer is {label=no, probabilities={...}}
 * }
 * }</pre>
 */
public final class Model implements AutoCloseable {
  static final Cleaner CLEANER = Cleaner.create();

  private final Core core;
  private final Cleaner.Cleanable cleanable;

  Model(Core core) {
    this.core = core;
    cleanable = CLEANER.register(this, core::close);
  }

  Core core() {
    return core;
  }

  /** Releases the model. May be called again. */
  @Override
  public void close() {
    cleanable.clean();
  }

  private <T> T use(Core.Use<T> function) {
    try {
      return core.use(function);
    } finally {
      Reference.reachabilityFence(this);
    }
  }

  /** Uses the handle in a function that may wait for the process that serves the model. */
  private <T> T useAndWait(Core.Use<T> function) {
    try {
      return Waits.call(core.isRemote, () -> core.use(function));
    } finally {
      Reference.reachabilityFence(this);
    }
  }

  private String text(MethodHandle function) {
    return use(handle -> Native.text(function, handle));
  }

  /**
   * Returns the name of the model in its contract.
   *
   * @return the name; "" without one
   */
  public String name() {
    return text(Native.MODEL_NAME);
  }

  /**
   * Returns the version of the model in its contract.
   *
   * @return the version; "" without one
   */
  public String version() {
    return text(Native.MODEL_VERSION);
  }

  /**
   * Returns the SHA-256 of the file and its external files.
   *
   * @return the id in hexadecimal; "" for a served function without one
   */
  public String id() {
    return text(Native.MODEL_ID);
  }

  /**
   * Returns the engine that runs the model.
   *
   * @return the engine with its version, such as "native 2"
   */
  public String engine() {
    return text(Native.MODEL_ENGINE);
  }

  /**
   * Returns why this engine was taken.
   *
   * @return one line; "" for a served model
   */
  public String engineReason() {
    return text(Native.MODEL_ENGINE_REASON);
  }

  /**
   * Returns why verification failed, if the model was opened with {@link Options.Verify#WARN}.
   *
   * @return one line; "" if it did not fail
   */
  public String warning() {
    return text(Native.MODEL_WARNING);
  }

  /**
   * Returns the contract.
   *
   * @return the contract as JSON; "" for a file without one
   */
  public String contract() {
    return use(handle -> Memory.text(Native.modelContract(handle, 0)));
  }

  /**
   * Returns the features, in the order of the contract.
   *
   * @return the features; none without a contract
   */
  public List<FeatureSpec> features() {
    core.requireOpen();
    return core.features;
  }

  /**
   * Returns the columns, in the order of the answer.
   *
   * @return the columns
   */
  public List<ColumnSpec> columns() {
    core.requireOpen();
    return core.columns();
  }

  /**
   * Returns the input tensors, in the order of the graph.
   *
   * @return the inputs
   */
  public List<TensorSpec> inputs() {
    core.requireOpen();
    return core.inputs;
  }

  /**
   * Returns the output tensors, in the order of the graph.
   *
   * @return the outputs
   */
  public List<TensorSpec> outputs() {
    core.requireOpen();
    return core.outputs;
  }

  /**
   * Looks a feature up, for the functions of {@link Call}. Do it once, not for each record.
   *
   * @param name its name
   * @return its index
   * @throws SidecallException UNKNOWN_NAME, whose text lists the names that exist
   */
  public int feature(String name) {
    return find(Header.KIND_FEATURE, name);
  }

  /**
   * Looks a column up.
   *
   * @param name its name, such as "label" or "probabilities.fraud"
   * @return its index
   * @throws SidecallException UNKNOWN_NAME, whose text lists the names that exist
   */
  public int column(String name) {
    return find(Header.KIND_COLUMN, name);
  }

  /**
   * Looks an input tensor up.
   *
   * @param name its name
   * @return its index
   * @throws SidecallException UNKNOWN_NAME, whose text lists the names that exist
   */
  public int input(String name) {
    return find(Header.KIND_INPUT, name);
  }

  /**
   * Looks an output tensor up.
   *
   * @param name its name
   * @return its index
   * @throws SidecallException UNKNOWN_NAME, whose text lists the names that exist
   */
  public int output(String name) {
    return find(Header.KIND_OUTPUT, name);
  }

  private int find(int kind, String name) {
    Objects.requireNonNull(name, "name");
    byte[] bytes = Memory.utf8(name);
    long text = Native.allocate(bytes.length);
    try {
      Memory.copyIn(text, bytes);
      return use(
          handle ->
              Outcome.of(
                  (out, error) ->
                      Native.modelFind(handle, kind, text, bytes.length, out, error),
                  index -> (int) index));
    } finally {
      Native.free(text);
    }
  }

  /**
   * Runs the golden rows now, whatever {@link Options#withVerify} was.
   *
   * @return the report as JSON, which sidecall_model_verify documents
   * @throws SidecallException VERIFICATION_FAILED, which has the report too; NO_CONTRACT; and those
   *     of a run
   */
  public String verify() {
    long pointer = Native.allocate(Long.BYTES);
    try {
      useAndWait(
          handle ->
              Outcome.of(
                  (out, error) -> Native.modelVerify(handle, pointer, error), out -> null));
      return takeText(Memory.getLong(pointer));
    } catch (SidecallException e) {
      long report = Memory.getLong(pointer);
      throw report == 0 ? e : e.withReport(takeText(report));
    } finally {
      Native.free(pointer);
    }
  }

  private static String takeText(long text) {
    return new String(Native.takeText(text), StandardCharsets.UTF_8);
  }

  /**
   * Predicts for a record, or for a list of records, as JSON text. Its deadline is that of {@link
   * Options#withTimeout}, and this thread waits for the answer: the library has neither a deadline
   * for one text nor runs of JSON text that are started.
   *
   * @param json an object, or an array of objects
   * @return the answer as JSON: an object, or an array
   * @throws SidecallException as sidecall_predict_json documents, with every fault of every record
   */
  public String predictJson(String json) {
    Objects.requireNonNull(json, "json");
    return new String(predictJson(Memory.utf8(json)), StandardCharsets.UTF_8);
  }

  /**
   * Predicts for JSON text that is already encoded, such as the body of a request.
   *
   * @param json the text in UTF-8
   * @return the answer in UTF-8
   * @throws SidecallException as {@link #predictJson(String)}; INVALID_JSON also for bytes that are
   *     not UTF-8
   */
  public byte[] predictJson(byte[] json) {
    Objects.requireNonNull(json, "json");
    long text = Native.allocate(json.length);
    try {
      Memory.copyIn(text, json);
      return useAndWait(
          handle ->
              Outcome.of(
                  (out, error) -> Native.predictJson(handle, text, json.length, out, error),
                  Native::takeText));
    } finally {
      Native.free(text);
    }
  }

  /**
   * Returns a predictor for two types, whose names it looks up in the model.
   *
   * <p>The type of records is a record, or Map. A component is named like a feature, or has the
   * annotation {@link Name}. It is a boolean, a number, a String, BigInteger, BigDecimal, Instant,
   * ZonedDateTime, OffsetDateTime, LocalDateTime, LocalDate, a boxed type, or Object. null is a
   * missing value, and so is NaN for a feature that is a number, and a nullable feature that no
   * component names. A number for a datetime feature counts what the contract says, as in JSON. An
   * Instant, ZonedDateTime or OffsetDateTime is a point in time, for features with a time zone; a
   * LocalDateTime or LocalDate is the time of the wall clock, for features without one. The values
   * of maps, and of components of type Object, are checked by each run.
   *
   * <p>The type of answers is a record, or Map. A component is named like a column ("label",
   * "probabilities.fraud") and has its type: String, boolean, double, long or Object; also float if
   * the column is float32, and int if the integers of the column fit. A component that is named
   * like an output ("probabilities") is a Map of String to one of these types as a boxed type, a
   * List, or an array of double, float, long, boolean or String.
   *
   * <p>A record that is not public must be in a package that is open to this module, which is the
   * case on the class path.
   *
   * @param <I> the type of records
   * @param <O> the type of answers
   * @param record the type of records
   * @param answer the type of answers
   * @return the predictor, which may be kept as long as the model is open
   * @throws SidecallException UNKNOWN_NAME; DTYPE_MISMATCH if a feature or column never has values
   *     of the type of its component; MISSING_VALUE if the record has no component for a feature
   *     that may not be missing; NO_CONTRACT; INVALID_ARGUMENT for types that are none of these
   */
  public <I, O> Predictor<I, O> newPredictor(Class<I> record, Class<O> answer) {
    Objects.requireNonNull(record, "record");
    Objects.requireNonNull(answer, "answer");
    core.requireOpen();
    Plan.Key key = new Plan.Key(record, answer);
    Plan plan = core.plans.get(key);
    if (plan == null) {
      if (core.features.isEmpty()) {
        requireContract();
      }
      plan = core.plans.computeIfAbsent(key, absent -> Plan.of(this, absent));
    }
    return new Predictor<>(this, plan);
  }

  /** Throws the error of the library for a file without a contract. */
  private void requireContract() {
    core.with(
        core.timeoutNs,
        (w, timeoutNs) -> {
          w.needEmptyCall(1);
          w.check(Native.callClear(w.call, w.error));
          return null;
        });
  }

  /**
   * Predicts for one record, as {@link Predictor#predict(Object)}. The names of the two types are
   * looked up once for each model: see {@link #newPredictor}.
   *
   * @param <O> the type of answers
   * @param record the record
   * @param answer the type of answers
   * @return the answer
   * @throws SidecallException as {@link #newPredictor} and {@link Predictor#predict(Object)}
   */
  public <O> O predict(Object record, Class<O> answer) {
    return predictorOf(record, answer).predict(record);
  }

  /**
   * Predicts for one record, within a deadline.
   *
   * @param <O> the type of answers
   * @param record the record
   * @param answer the type of answers
   * @param timeout more than 0
   * @return the answer
   * @throws SidecallException as {@link #predict(Object, Class)}; TIMEOUT
   */
  public <O> O predict(Object record, Class<O> answer, Duration timeout) {
    return predictorOf(record, answer).predict(record, timeout);
  }

  /**
   * Predicts for one record, and returns before the run is over: see {@link
   * Predictor#predictAsync(Object)}.
   *
   * @param <O> the type of answers
   * @param record the record
   * @param answer the type of answers
   * @return a future of the answer
   * @throws SidecallException as {@link #newPredictor}
   */
  public <O> CompletableFuture<O> predictAsync(Object record, Class<O> answer) {
    return predictorOf(record, answer).predictAsync(record);
  }

  /**
   * Predicts for one record within a deadline, and returns before the run is over: see {@link
   * Predictor#predictAsync(Object, Duration)}.
   *
   * @param <O> the type of answers
   * @param record the record
   * @param answer the type of answers
   * @param timeout more than 0
   * @return a future of the answer
   * @throws SidecallException as {@link #newPredictor}; INVALID_ARGUMENT for another timeout
   */
  public <O> CompletableFuture<O> predictAsync(Object record, Class<O> answer, Duration timeout) {
    return predictorOf(record, answer).predictAsync(record, timeout);
  }

  @SuppressWarnings("unchecked") // a predictor of the type of the record takes the record
  private <O> Predictor<Object, O> predictorOf(Object record, Class<O> answer) {
    Objects.requireNonNull(record, "record");
    Class<?> type = record instanceof Map ? Map.class : record.getClass();
    return (Predictor<Object, O>) newPredictor(type, answer);
  }

  @SuppressWarnings("unchecked") // maps of answers have these types
  private Predictor<Map<String, ?>, Map<String, Object>> maps() {
    Predictor<?, ?> predictor = newPredictor(Map.class, Map.class);
    return (Predictor<Map<String, ?>, Map<String, Object>>) predictor;
  }

  /**
   * Predicts for one record, which is a map of features by their names. A value is null for a
   * missing one, or as in {@link #newPredictor}.
   *
   * @param record the features
   * @return the outputs in the order of the model: a Double, Long, Boolean or String; a Map of
   *     these by the names of classes; or an array double[], long[], boolean[] or String[]
   * @throws SidecallException as {@link Predictor#predict(Object)}; UNKNOWN_NAME for keys that the
   *     model does not have, unless it was opened with {@link Options.Extra#IGNORE}
   */
  public Map<String, Object> predict(Map<String, ?> record) {
    return maps().predict(record);
  }

  /**
   * Predicts for one record within a deadline.
   *
   * @param record the features
   * @param timeout more than 0
   * @return the outputs, as {@link #predict(Map)}
   * @throws SidecallException as {@link #predict(Map)}; TIMEOUT
   */
  public Map<String, Object> predict(Map<String, ?> record, Duration timeout) {
    return maps().predict(record, timeout);
  }

  /**
   * Predicts for several records in one run: see {@link Predictor#predictMany(List)}.
   *
   * @param records the records
   * @return the answers, in the order of the records
   * @throws SidecallException as {@link #predict(Map)}, with every fault of every record
   */
  public List<Map<String, Object>> predictMany(List<? extends Map<String, ?>> records) {
    return maps().predictMany(records);
  }

  /**
   * Predicts for several records in one run, within a deadline.
   *
   * @param records the records
   * @param timeout more than 0
   * @return the answers, in the order of the records
   * @throws SidecallException as {@link #predictMany(List)}; TIMEOUT
   */
  public List<Map<String, Object>> predictMany(
      List<? extends Map<String, ?>> records, Duration timeout) {
    return maps().predictMany(records, timeout);
  }

  /**
   * Predicts for one record, and returns before the run is over: see {@link
   * Predictor#predictAsync(Object)}.
   *
   * @param record the features, which must not change until the future is complete
   * @return a future of the outputs
   */
  public CompletableFuture<Map<String, Object>> predictAsync(Map<String, ?> record) {
    return maps().predictAsync(record);
  }

  /**
   * Predicts for one record within a deadline, and returns before the run is over: see {@link
   * Predictor#predictAsync(Object, Duration)}.
   *
   * @param record the features, which must not change until the future is complete
   * @param timeout more than 0
   * @return a future of the outputs
   * @throws SidecallException INVALID_ARGUMENT for another timeout
   */
  public CompletableFuture<Map<String, Object>> predictAsync(
      Map<String, ?> record, Duration timeout) {
    return maps().predictAsync(record, timeout);
  }

  /**
   * Runs the model once on whole tensors, which are copied.
   *
   * @param inputs the tensors by the names of the inputs
   * @return all outputs by their names, in the order of the model
   * @throws SidecallException UNKNOWN_NAME, MISSING_INPUT, DTYPE_MISMATCH, SHAPE_MISMATCH, and
   *     those of sidecall_call_copy_input and sidecall_call_run
   */
  public Map<String, Tensor> run(Map<String, Tensor> inputs) {
    return run(inputs, core.timeoutNs);
  }

  /**
   * Runs the model once on whole tensors, within a deadline.
   *
   * @param inputs the tensors by the names of the inputs
   * @param timeout more than 0
   * @return all outputs by their names, in the order of the model
   * @throws SidecallException as {@link #run(Map)}; TIMEOUT
   */
  public Map<String, Tensor> run(Map<String, Tensor> inputs, Duration timeout) {
    return run(inputs, Deadline.nanoseconds(timeout));
  }

  private Map<String, Tensor> run(Map<String, Tensor> inputs, long timeoutNs) {
    TensorRun run = new TensorRun(this, inputs);
    try {
      return core.with(
          timeoutNs,
          (w, remaining) -> {
            run.set(w);
            w.check(w.run(remaining));
            return run.get(w);
          });
    } finally {
      Reference.reachabilityFence(this);
    }
  }

  /**
   * Runs the model once on whole tensors, and returns before the run is over. No thread waits for
   * it. Cancelling the future cancels the run.
   *
   * @param inputs the tensors by the names of the inputs, which must not change until the future is
   *     complete
   * @return a future of the outputs, as {@link #run(Map)}
   * @throws SidecallException UNKNOWN_NAME
   */
  public CompletableFuture<Map<String, Tensor>> runAsync(Map<String, Tensor> inputs) {
    return runAsync(inputs, core.timeoutNs);
  }

  /**
   * Runs the model once on whole tensors within a deadline, and returns before the run is over.
   *
   * @param inputs the tensors by the names of the inputs, which must not change until the future is
   *     complete
   * @param timeout more than 0
   * @return a future of the outputs, as {@link #runAsync(Map)}; it fails with TIMEOUT at the
   *     deadline
   * @throws SidecallException UNKNOWN_NAME; INVALID_ARGUMENT for another timeout
   */
  public CompletableFuture<Map<String, Tensor>> runAsync(
      Map<String, Tensor> inputs, Duration timeout) {
    return runAsync(inputs, Deadline.nanoseconds(timeout));
  }

  private CompletableFuture<Map<String, Tensor>> runAsync(
      Map<String, Tensor> inputs, long timeoutNs) {
    TensorRun run = new TensorRun(this, inputs);
    return AsyncRun.begin(this, timeoutNs, run::set, run::get);
  }

  /**
   * Opens a call for a number of rows. The call of a served model connects when it first runs.
   *
   * @param rows 1 or more
   * @return the call, which the caller closes
   * @throws SidecallException INVALID_ARGUMENT for less than one row
   */
  public Call newCall(long rows) {
    try {
      return new Call(core.openWorkspace(rows));
    } finally {
      Reference.reachabilityFence(this);
    }
  }
}
