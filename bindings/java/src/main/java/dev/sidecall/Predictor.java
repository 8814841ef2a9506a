package dev.sidecall;

import java.lang.ref.Reference;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;

/**
 * Predicts answers of one type for records of another type. It has looked the names of both types
 * up in the model. Any number of threads may use it at once. {@link Model#newPredictor} says what
 * the types may be.
 *
 * <pre>{@code
 * record Order(double amount, String country) {}
 * record Verdict(String label, @Name("probabilities.fraud") double fraud) {}
 *
 * Predictor<Order, Verdict> verdicts = model.newPredictor(Order.class, Verdict.class);
 * Verdict verdict = verdicts.predict(new Order(12.5, "DE"));
 * }</pre>
 *
 * @param <I> the type of records
 * @param <O> the type of answers
 */
public final class Predictor<I, O> {
  private final Model model;
  private final Core core;
  private final Plan plan;

  Predictor(Model model, Plan plan) {
    this.model = model;
    this.core = model.core();
    this.plan = plan;
  }

  /**
   * Predicts for one record, within the deadline of {@link Options#withTimeout}.
   *
   * @param record the record
   * @return the answer
   * @throws SidecallException as sidecall_call_run documents, with every fault of the record;
   *     INVALID_ARGUMENT if the model is closed
   */
  public O predict(I record) {
    return predict(record, core.timeoutNs);
  }

  /**
   * Predicts for one record, within a deadline.
   *
   * @param record the record
   * @param timeout more than 0
   * @return the answer
   * @throws SidecallException as {@link #predict(Object)}; TIMEOUT
   */
  public O predict(I record, Duration timeout) {
    return predict(record, Deadline.nanoseconds(timeout));
  }

  @SuppressWarnings("unchecked") // the plan was made for O
  private O predict(I record, long timeoutNs) {
    Objects.requireNonNull(record, "record");
    long begin = timeoutNs < 0 ? 0 : System.nanoTime();
    Workspace w = core.take(timeoutNs);
    try {
      set(w, record);
      w.check(w.run(Deadline.remaining(timeoutNs, begin)));
      return (O) get(w);
    } finally {
      core.give(w);
      Reference.reachabilityFence(model);
    }
  }

  /** The run reports the values that are refused here. */
  private void set(Workspace w, I record) {
    w.needCall();
    w.begin(plan);
    plan.reader().read(w, record, 0);
    Native.setRow(w.call, 0, 0, w.values, core.features.size(), w.error);
  }

  private Object get(Workspace w) {
    Writer writer = plan.writer();
    w.expect(writer.count());
    w.getRow(0, writer);
    w.keepsCall = !w.isDirty;
    return writer.write(w);
  }

  /**
   * Predicts for several records in one run, which is faster than one run for each. All of them
   * have an answer, or none has.
   *
   * @param records the records
   * @return the answers, in the order of the records
   * @throws SidecallException as {@link #predict(Object)}, with every fault of every record
   */
  public List<O> predictMany(List<? extends I> records) {
    return predictMany(records, core.timeoutNs);
  }

  /**
   * Predicts for several records in one run, within a deadline.
   *
   * @param records the records
   * @param timeout more than 0
   * @return the answers, in the order of the records
   * @throws SidecallException as {@link #predictMany(List)}; TIMEOUT
   */
  public List<O> predictMany(List<? extends I> records, Duration timeout) {
    return predictMany(records, Deadline.nanoseconds(timeout));
  }

  private List<O> predictMany(List<? extends I> records, long timeoutNs) {
    Objects.requireNonNull(records, "records");
    if (records.isEmpty()) {
      core.requireOpen();
      return List.of();
    }
    try {
      return core.with(
          timeoutNs,
          (w, remaining) -> {
            setMany(w, records);
            w.check(w.run(remaining));
            return getMany(w, records.size());
          });
    } finally {
      Reference.reachabilityFence(model);
    }
  }

  private void setMany(Workspace w, List<? extends I> records) {
    w.needEmptyCall(records.size());
    long row = 0;
    for (I record : records) {
      requireElement(record, row);
      w.begin(plan);
      plan.reader().read(w, record, row);
      Native.setRow(w.call, row, 0, w.values, core.features.size(), w.error);
      ++row;
    }
  }

  private static void requireElement(Object record, long row) {
    if (record == null) {
      throw new NullPointerException("records[" + row + "]");
    }
  }

  @SuppressWarnings("unchecked") // the plan was made for O
  private List<O> getMany(Workspace w, int count) {
    Writer writer = plan.writer();
    w.expect(writer.count());
    List<O> answers = new ArrayList<>(count);
    for (int row = 0; row < count; ++row) {
      w.getRow(row, writer);
      answers.add((O) writer.write(w));
    }
    return answers;
  }

  /**
   * Predicts for one record, and returns before the run is over. No thread waits for the run.
   * Cancelling the future cancels the run. The record may be read later, so a map must not change
   * until then.
   *
   * @param record the record
   * @return a future of the answer; it fails with a {@link SidecallException} as {@link
   *     #predict(Object)}. A thread of {@link CompletableFuture#defaultExecutor} completes it, or
   *     one that waits in its join or get
   */
  public CompletableFuture<O> predictAsync(I record) {
    return predictAsync(record, core.timeoutNs);
  }

  /**
   * Predicts for one record within a deadline, and returns before the run is over.
   *
   * @param record the record
   * @param timeout more than 0
   * @return a future of the answer, as {@link #predictAsync(Object)}; it fails with TIMEOUT at the
   *     deadline
   * @throws SidecallException INVALID_ARGUMENT for another timeout
   */
  public CompletableFuture<O> predictAsync(I record, Duration timeout) {
    return predictAsync(record, Deadline.nanoseconds(timeout));
  }

  @SuppressWarnings("unchecked") // the plan was made for O
  private CompletableFuture<O> predictAsync(I record, long timeoutNs) {
    Objects.requireNonNull(record, "record");
    return AsyncRun.begin(model, timeoutNs, w -> set(w, record), w -> (O) get(w));
  }

  /**
   * Predicts for several records in one run, and returns before it is over.
   *
   * @param records the records, which must not change until the future is complete
   * @return a future of the answers, as {@link #predictAsync(Object)}
   */
  public CompletableFuture<List<O>> predictManyAsync(List<? extends I> records) {
    return predictManyAsync(records, core.timeoutNs);
  }

  /**
   * Predicts for several records in one run within a deadline, and returns before it is over.
   *
   * @param records the records, which must not change until the future is complete
   * @param timeout more than 0
   * @return a future of the answers, as {@link #predictAsync(Object, Duration)}
   * @throws SidecallException INVALID_ARGUMENT for another timeout
   */
  public CompletableFuture<List<O>> predictManyAsync(
      List<? extends I> records, Duration timeout) {
    return predictManyAsync(records, Deadline.nanoseconds(timeout));
  }

  private CompletableFuture<List<O>> predictManyAsync(List<? extends I> records, long timeoutNs) {
    Objects.requireNonNull(records, "records");
    if (records.isEmpty()) {
      return CompletableFuture.completedFuture(List.of());
    }
    return AsyncRun.begin(
        model, timeoutNs, w -> setMany(w, records), w -> getMany(w, records.size()));
  }
}
