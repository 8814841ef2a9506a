package dev.sidecall;

/** Makes the threads of this module. */
final class Threads {
  private Threads() {}

  /**
   * Returns a thread that does not keep the program from ending. It has the class loader of the
   * system and no thread locals, because it outlives the thread that starts it: it must not hold
   * what belongs to the request or the application of that thread.
   */
  static Thread daemon(Runnable task, String name) {
    Thread thread = new Thread(null, task, name, 0, false);
    thread.setDaemon(true);
    return thread;
  }
}
