package dev.sidecall;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.stream.Stream;

/** A process that serves a model until it is closed. */
final class Served implements AutoCloseable {
  final String uri;
  private final Path folder;
  private final ProcessBuilder command;
  private Process process;

  private Served(String path, Map<String, String> environment) throws IOException {
    String program = System.getenv("SIDECALL_TEST_COMMAND");
    folder = Files.createTempDirectory("sidecall");
    uri = "shm:" + folder.resolve("s.sock");
    command =
        new ProcessBuilder(
            program == null ? "../../build/bin/sidecall" : program,
            "serve",
            path,
            "--at",
            uri,
            "--log-level=error");
    command.redirectError(ProcessBuilder.Redirect.INHERIT);
    command.redirectOutput(new File("/dev/null"));
    command.environment().putAll(environment);
    start();
  }

  static Served of(String path) throws IOException {
    return new Served(path, Map.of());
  }

  static Served of(String path, Map<String, String> environment) throws IOException {
    return new Served(path, environment);
  }

  void start() throws IOException {
    process = command.start();
  }

  void kill() {
    process.destroyForcibly().onExit().join();
  }

  /** Stops all threads of the server. */
  void freeze() throws IOException {
    signal("STOP");
    try (Stream<Path> threads = Files.list(Path.of("/proc/" + process.pid() + "/task"))) {
      for (Path thread : threads.toList()) {
        while (!Files.readString(thread.resolve("stat")).contains(") T ")) {
          Thread.onSpinWait();
        }
      }
    }
  }

  void thaw() throws IOException {
    signal("CONT");
  }

  private void signal(String name) throws IOException {
    new ProcessBuilder("kill", "-" + name, Long.toString(process.pid())).start().onExit().join();
  }

  Model connect(Options options) {
    return Sidecall.open(uri, options.withWait(Duration.ofSeconds(20)));
  }

  Model connect() {
    return connect(Options.DEFAULTS);
  }

  @Override
  public void close() throws IOException {
    thaw();
    kill();
    Files.deleteIfExists(folder.resolve("s.sock"));
    try (Stream<Path> files = Files.list(folder)) {
      for (Path file : files.toList()) {
        Files.delete(file);
      }
    }
    Files.delete(folder);
  }
}
