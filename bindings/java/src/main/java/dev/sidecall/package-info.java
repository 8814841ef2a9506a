/**
 * Calls machine-learning models that were trained in Python.
 *
 * <p>A model is a file that {@code sidecall.export} has written in Python, or a model that another
 * process of this host serves. The same functions call both: see {@link dev.sidecall.Sidecall} for
 * an example.
 *
 * <h2>Ways to call</h2>
 *
 * <ul>
 *   <li>{@link dev.sidecall.Model#newPredictor}: records of Java. The names are looked up once.
 *   <li>{@link dev.sidecall.Model#predict(java.util.Map)}: a record as a map, for programs that do
 *       not know their model.
 *   <li>{@link dev.sidecall.Model#predictJson(String)}: a record, or a list of records, as JSON.
 *   <li>{@link dev.sidecall.Model#run(java.util.Map)}: whole tensors.
 *   <li>{@link dev.sidecall.Model#newCall}: a reusable workspace for many rows or tensors, without
 *       copies and without garbage.
 * </ul>
 *
 * <h2>Threads</h2>
 *
 * <p>Any number of threads may use a {@link dev.sidecall.Model} and a {@link
 * dev.sidecall.Predictor} at once. A {@link dev.sidecall.Call} belongs to one thread at a time; it
 * refuses a second one.
 *
 * <p>A run of a file occupies the thread that calls it, also if that is a virtual thread, because
 * it computes. In a run of a served model, and in every other function that waits for the server, a
 * virtual thread parks: it occupies no other thread. The exception are functions that change the
 * shapes of a {@link dev.sidecall.Call}: they may need a new connection, and take the thread until
 * they have it.
 *
 * <h2>Errors</h2>
 *
 * <p>The library refuses with a {@link dev.sidecall.SidecallException}, which has the same codes
 * and texts in every language. An argument that is null throws a NullPointerException with the name
 * of the parameter, unless its comment says what null means.
 */
package dev.sidecall;
