package dev.sidecall;

import static dev.sidecall.Models.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

class LifecycleTest {
  private static final String JAVA = System.getProperty("java.home") + "/bin/java";

  private record Ended(int status, String output) {}

  private static ProcessBuilder program(Class<?> main, String... arguments) {
    List<String> command = new ArrayList<>(List.of(JAVA, "--enable-native-access=ALL-UNNAMED"));
    command.addAll(List.of("-cp", System.getProperty("java.class.path"), main.getName()));
    command.addAll(List.of(arguments));
    return new ProcessBuilder(command).redirectErrorStream(true);
  }

  private static Ended run(ProcessBuilder builder) throws Exception {
    Process process = builder.start();
    String output = new String(process.getInputStream().readAllBytes());
    assertTrue(process.waitFor(60, TimeUnit.SECONDS), "it ends");
    return new Ended(process.exitValue(), output);
  }

  @Test
  void aProgramEndsWhileRunsAreUnderWay() throws Exception {
    Map<String, Integer> ways =
        Map.of("return", 0, "close", 0, "exit", 3, "halt", 4, "exception", 1, "signal", 143);
    for (Map.Entry<String, Integer> way : ways.entrySet()) {
      for (int i = 0; i < 3; ++i) {
        ProcessBuilder builder =
            program(EndingProgram.class, way.getKey(), Models.path("gbm.onnx"));
        Ended ended;
        if (way.getKey().equals("signal")) {
          Process process = builder.start();
          TimeUnit.MILLISECONDS.sleep(500);
          process.destroy(); // SIGTERM
          ended = new Ended(process.waitFor(), "");
        } else {
          ended = run(builder);
        }
        assertEquals(way.getValue(), ended.status, way + ended.output);
        assertTrue(!ended.output.contains("SIGSEGV"), ended.output);
      }
    }
  }

  private static long grownKb(String way, int count) throws Exception {
    ProcessBuilder builder = program(OpeningProgram.class, way, Integer.toString(count));
    builder.command().add(1, "-Dsidecall.vectors=" + Path.of(Models.FOLDER).getParent());
    // The heap has its final size from the start, so that only native memory can grow.
    builder.command().addAll(1, List.of("-Xms64m", "-Xmx64m", "-XX:+AlwaysPreTouch"));
    Ended ended = run(builder);
    assertEquals(0, ended.status, ended.output);
    return Long.parseLong(ended.output.strip());
  }

  @Test
  void memoryStaysFlatOverManyOpens() throws Exception {
    long grown = grownKb("close", 20_000);
    assertTrue(grown < 20_000, "10000 models that were closed left " + grown + " KB");
  }

  @Test
  void forgottenModelsAndCallsAreReleased() throws Exception {
    long grown = grownKb("forget", 4000);
    assertTrue(grown < 20_000, "2000 models that were forgotten left " + grown + " KB");
    MemorySegment orphan = Models.open("gbm.onnx").newCall(1).input(0).segment();
    boolean isGone = false;
    for (int i = 0; i < 100 && !isGone; ++i) {
      System.gc();
      TimeUnit.MILLISECONDS.sleep(10);
      isGone = !orphan.scope().isAlive();
    }
    assertTrue(isGone, "a forgotten call is released");
    assertThrows(IllegalStateException.class, () -> orphan.get(ValueLayout.JAVA_FLOAT, 0));
  }

  @Test
  void garbageIsCollectedWhileRunsAreUnderWay() throws Exception {
    AtomicBoolean isOver = new AtomicBoolean();
    Thread collector =
        Thread.ofPlatform()
            .start(
                () -> {
                  while (!isOver.get()) {
                    System.gc();
                    LockSupport.parkNanos(2_000_000); // so that the others get on between two
                  }
                });
    try {
      for (int i = 0; i < 50; ++i) {
        Model model = Models.open("gbm.onnx");
        Call call = model.newCall(1000);
        call.input(0).segment().fill((byte) 0);
        CompletableFuture<Map<String, Tensor>> later =
            model.runAsync(Map.of(model.inputs().get(0).name(), Tensor.of(new float[30], 1, 30)));
        call.run(); // neither is used afterwards
        assertRefused(Code.MISSING_VALUE, () -> model.predictMany(List.of(Map.of(), Map.of())));
        assertEquals(model.outputs().size(), later.join().size());
        CompletableFuture<Void> forgotten = model.newCall(1000).runAsync();
        assertThrows(java.util.concurrent.CompletionException.class, forgotten::join);
      }
    } finally {
      isOver.set(true);
      collector.join();
    }
  }

  @Test
  void anExecutorThatFailsLeavesNoFutureOpen() throws Exception {
    ProcessBuilder builder = program(FailingPool.class);
    builder.command().add(1, "-Dsidecall.vectors=" + Path.of(Models.FOLDER).getParent());
    String pool = "-Djava.util.concurrent.ForkJoinPool.common.threadFactory=";
    builder.command().add(1, pool + FailingPool.class.getName());
    builder.command().add(1, "-XX:ActiveProcessorCount=4"); // so that any Java uses that pool
    Ended ended = run(builder);
    assertEquals(0, ended.status, ended.output);
    assertTrue(ended.output.endsWith("done"), ended.output);
  }

  /** Prints the version, or why the library is not there: a program for the tests below. */
  static final class Loading {
    public static void main(String[] arguments) {
      for (int i = 0; i < 2; ++i) { // the second time is like the first
        try {
          System.out.println("version " + Sidecall.version());
        } catch (SidecallException e) {
          System.out.println(e.code() + ": " + e.getMessage());
        }
      }
    }
  }

  private static ProcessBuilder loading(String... options) {
    ProcessBuilder builder = program(Loading.class);
    builder.command().addAll(1, List.of(options));
    builder.environment().remove("SIDECALL_LIBRARY");
    return builder;
  }

  @Test
  void theLibraryIsFoundWhereTheProgramSays() throws Exception {
    String library = System.getenv("SIDECALL_LIBRARY");
    String folder = Path.of(library).getParent().toString();
    assertTrue(run(loading("-Dsidecall.library=" + library)).output.startsWith("version "));
    assertTrue(run(loading("-Djava.library.path=" + folder)).output.startsWith("version "));
    ProcessBuilder byLoader = loading("-Djava.library.path=");
    byLoader.environment().put("LD_LIBRARY_PATH", folder);
    assertTrue(run(byLoader).output.startsWith("version "));

    String missing = run(loading("-Dsidecall.library=/nowhere/libsidecall.so")).output;
    assertTrue(missing.startsWith("FILE_NOT_FOUND: "), missing);
    assertTrue(missing.contains("/nowhere/libsidecall.so"), missing);
    assertEquals(2, missing.lines().count(), missing);
    ProcessBuilder wrong = loading();
    wrong.environment().put("SIDECALL_LIBRARY", Models.path("gbm.onnx"));
    assertTrue(run(wrong).output.contains("cannot be loaded"));
    ProcessBuilder other = loading();
    other.environment().put("SIDECALL_LIBRARY", otherLibrary());
    assertTrue(run(other).output.startsWith("UNSUPPORTED: "), run(other).output);
    ProcessBuilder nowhere = loading("-Djava.library.path=/nowhere");
    nowhere.environment().remove("LD_LIBRARY_PATH");
    String searched = run(nowhere).output;
    if (!searched.startsWith("version ")) { // it is not installed on this machine
      for (String place : List.of("no jar has", "/nowhere/libsidecall.so", "dynamic loader")) {
        assertTrue(searched.contains(place), searched);
      }
    }
    ProcessBuilder denied = loading("-Dsidecall.library=" + library);
    denied.command().remove("--enable-native-access=ALL-UNNAMED");
    denied.command().add(1, "--illegal-native-access=deny");
    denied.command().add(1, "--enable-native-access=java.base");
    String refused = run(denied).output;
    assertTrue(
        refused.startsWith("DENIED: ") || refused.contains("Unrecognized option"), refused);
  }

  /** A shared library that is not libsidecall. */
  private static String otherLibrary() throws IOException {
    try (Stream<Path> files = Files.list(Path.of(System.getProperty("java.home"), "lib"))) {
      return files.filter(file -> file.endsWith("libzip.so")).findFirst().orElseThrow().toString();
    }
  }

  @Test
  void theLibraryOfAJarIsUnpackedToAPrivateFolder() throws Exception {
    Path folder = Files.createTempDirectory("sidecall");
    Path jar = folder.resolve("native.jar");
    String machine = System.getProperty("os.arch").equals("amd64") ? "x86_64" : "aarch64";
    try (JarOutputStream out = new JarOutputStream(Files.newOutputStream(jar))) {
      out.putNextEntry(
          new JarEntry("dev/sidecall/native/linux-" + machine + "/libsidecall.so"));
      Files.copy(Path.of(System.getenv("SIDECALL_LIBRARY")), out);
    }
    ProcessBuilder builder = loading("-Djava.library.path=");
    String path = System.getProperty("java.class.path") + File.pathSeparator + jar;
    builder.command().set(builder.command().indexOf("-cp") + 1, path);
    builder.environment().put("XDG_CACHE_HOME", folder.toString());
    for (int i = 0; i < 2; ++i) {
      Ended ended = run(builder);
      assertTrue(ended.output.startsWith("version "), ended.output);
    }
    Path cache = folder.resolve("sidecall");
    Path unpacked;
    try (Stream<Path> files = Files.list(cache)) {
      unpacked = files.findFirst().orElseThrow();
    }
    assertEquals(
        "rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(unpacked)));
    Path file = unpacked.resolve("libsidecall.so");
    byte[] content = Files.readAllBytes(file);
    Files.write(file, new byte[] {1, 2, 3}); // is repaired
    assertTrue(run(builder).output.startsWith("version "));
    assertEquals(content.length, Files.size(file));
    try (Stream<Path> files = Files.list(unpacked)) {
      assertEquals(1, files.count(), "no temporary file is left");
    }

    // A link to another place is not followed; the next folder is taken.
    Files.delete(file);
    Files.delete(unpacked);
    Path elsewhere = Files.createDirectory(folder.resolve("elsewhere"));
    Files.createSymbolicLink(unpacked, elsewhere);
    builder.command().add(1, "-Duser.home=" + folder.resolve("home"));
    assertTrue(run(builder).output.startsWith("version "));
    try (Stream<Path> files = Files.list(elsewhere)) {
      assertEquals(0, files.count());
    }
    assertTrue(Files.isDirectory(folder.resolve("home/.cache/sidecall")));
    try (Stream<Path> files = Files.walk(folder)) {
      for (Path one : files.sorted(java.util.Comparator.reverseOrder()).toList()) {
        Files.delete(one);
      }
    }
  }
}
