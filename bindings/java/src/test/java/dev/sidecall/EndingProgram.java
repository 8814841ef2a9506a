package dev.sidecall;

import java.util.concurrent.TimeUnit;

/** Starts runs that take long, and ends the program in one way: a program for LifecycleTest. */
final class EndingProgram {
  private EndingProgram() {}

  public static void main(String[] arguments) throws Exception {
    Model model = Sidecall.open(arguments[1]);
    for (int i = 0; i < 4; ++i) {
      Call call = model.newCall(1_000_000);
      call.input(0).segment().fill((byte) 0);
      if (i % 2 == 0) {
        call.runAsync();
        continue;
      }
      Thread.ofPlatform()
          .daemon()
          .start(
              () -> {
                while (true) {
                  call.run();
                }
              });
    }
    TimeUnit.MILLISECONDS.sleep(20);
    switch (arguments[0]) {
      case "return" -> {}
      case "close" -> model.close();
      case "exit" -> System.exit(3);
      case "halt" -> Runtime.getRuntime().halt(4);
      case "exception" -> throw new IllegalStateException("as the test wishes");
      default -> TimeUnit.MINUTES.sleep(1); // a signal comes
    }
  }
}
