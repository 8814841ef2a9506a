package dev.sidecall;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;

/** A process that serves a model until it is closed. */
final class Served implements AutoCloseable {
  /** How programs call the server. */
  enum Route {
    SHM,
    HTTP,
    GRPC
  }

  final String uri;
  private final Path folder;
  private final ProcessBuilder command;
  private Process process;

  private Served(String path, Route route, Map<String, String> environment) throws IOException {
    String program = System.getenv("SIDECALL_TEST_COMMAND");
    folder = Files.createTempDirectory("sidecall");
    String socket = folder.resolve("s.sock").toString();
    command =
        new ProcessBuilder(
            program == null ? "../../build/bin/sidecall" : program,
            "serve",
            path,
            "--at=shm:" + socket,
            "--log-level=error");
    if (route == Route.SHM) {
      uri = "shm:" + socket;
    } else {
      String name = route.name().toLowerCase(Locale.ROOT);
      command.command().addAll(List.of("--" + name, socket + "." + name, "--name=model"));
      uri = name + "+unix:" + socket + "." + name + "/model";
    }
    command.redirectError(ProcessBuilder.Redirect.INHERIT);
    command.redirectOutput(new File("/dev/null"));
    command.environment().putAll(environment);
    start();
  }

  static Served of(String path, Route route) throws IOException {
    return new Served(path, route, Map.of());
  }

  static Served of(String path, Map<String, String> environment) throws IOException {
    return new Served(path, Route.SHM, environment);
  }

  /** Over the network, runs do not wait for a server that starts, so this waits for it. */
  void start() throws IOException {
    process = command.start();
    if (!uri.startsWith("shm:")) {
      connect().close();
    }
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
    try (Stream<Path> files = Files.list(folder)) {
      for (Path file : files.toList()) {
        Files.delete(file);
      }
    }
    Files.delete(folder);
  }
}
