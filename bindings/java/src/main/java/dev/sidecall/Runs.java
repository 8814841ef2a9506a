package dev.sidecall;

/** A list of runs, linked by {@link StartedRun#next}. For one thread at a time. */
final class Runs {
  StartedRun first;
  int count;

  private StartedRun last;

  void append(StartedRun run) {
    run.next = null;
    if (first == null) {
      first = run;
    } else {
      last.next = run;
    }
    last = run;
    ++count;
  }

  /** Removes the run that follows `before`, or the first one if that is null. */
  void remove(StartedRun before, StartedRun run) {
    if (before == null) {
      first = run.next;
    } else {
      before.next = run.next;
    }
    if (last == run) {
      last = before;
    }
    run.next = null;
    --count;
  }

  void remove(StartedRun run) {
    StartedRun before = null;
    for (StartedRun other = first; other != run; other = other.next) {
      before = other;
    }
    remove(before, run);
  }
}
