package dev.sidecall;

import static dev.sidecall.Models.ADELIE;
import static dev.sidecall.Models.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.sidecall.Models.Penguin;
import dev.sidecall.Models.Species;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;

class ServedTest {
  /** How programs call the server; NetworkTest has other ways. */
  Served.Route route() {
    return Served.Route.SHM;
  }

  private Served serve(String model) throws IOException {
    return Served.of(Models.path(model), route());
  }

  @Test
  void manyThreadsShareAServedModel() throws Exception {
    try (Served served = serve("penguins.onnx");
        Model model = served.connect(Options.DEFAULTS.withMaxCalls(64))) {
      Predictor<Penguin, Species> predictor = model.newPredictor(Penguin.class, Species.class);
      Species wanted = predictor.predict(ADELIE);
      for (ExecutorService executor :
          List.of(Executors.newVirtualThreadPerTaskExecutor(), Executors.newFixedThreadPool(16))) {
        try (executor) {
          List<Future<?>> futures = new ArrayList<>();
          for (int i = 0; i < 1000; ++i) {
            futures.add(
                executor.submit(
                    () -> {
                      for (int k = 0; k < 5; ++k) {
                        assertEquals(wanted, predictor.predict(ADELIE));
                      }
                      assertEquals(wanted, predictor.predict(ADELIE, Duration.ofMinutes(1)));
                      assertEquals(
                          List.of(wanted, wanted), predictor.predictMany(List.of(ADELIE, ADELIE)));
                      assertEquals(wanted, predictor.predictAsync(ADELIE).join());
                      assertRefused(
                          Code.DTYPE_MISMATCH, () -> model.predict(Map.of("island", 1)));
                    }));
          }
          for (Future<?> future : futures) {
            future.get();
          }
        }
      }
    }
  }

  /** With more runs under way than the machine has threads for them, if each needed one. */
  @Test
  void virtualThreadsThatWaitForAServerLeaveTheirCarriersToOthers() throws Exception {
    int runs = 4 * Runtime.getRuntime().availableProcessors() + 100;
    try (Served served = serve("penguins.onnx");
        Model model = served.connect();
        ExecutorService executor = Executors.newVirtualThreadPerTaskExecutor()) {
      List<Call> calls = new ArrayList<>();
      for (int i = 0; i < runs; ++i) {
        calls.add(model.newCall(1));
        calls.get(i).clear();
      }
      served.freeze();
      List<Future<?>> futures = new ArrayList<>();
      for (Call call : calls) {
        futures.add(executor.submit(() -> call.run()));
      }
      // They wait for a server that does nothing, and this one still gets a carrier.
      assertEquals("done", executor.submit(() -> "done").get());
      assertTrue(futures.stream().noneMatch(Future::isDone));
      served.thaw();
      for (Future<?> future : futures) {
        future.get();
      }
      calls.forEach(Call::close);
    }
  }

  @Test
  void virtualThreadsLeaveTheirCarriersInEveryFunctionThatWaitsForTheServer() throws Exception {
    int count = 2 * Runtime.getRuntime().availableProcessors() + 20;
    try (Served served = serve("penguins.onnx");
        Model model = served.connect();
        ExecutorService executor = Executors.newVirtualThreadPerTaskExecutor()) {
      String wanted = model.predictJson("{}");
      String report = model.verify();
      List<Model> closing = new ArrayList<>();
      for (int i = 0; i < count; ++i) {
        closing.add(served.connect());
      }
      served.freeze();
      List<Future<?>> futures = new ArrayList<>();
      for (int i = 0; i < count; ++i) {
        Model other = closing.get(i);
        futures.add(executor.submit(() -> assertEquals(wanted, model.predictJson("{}"))));
        futures.add(executor.submit(() -> assertEquals(report, model.verify())));
        futures.add(executor.submit(() -> model.newCall(2).close()));
        futures.add(executor.submit(() -> served.connect().close()));
        futures.add(executor.submit(other::close));
      }
      // They wait for a server that does nothing, and this one still gets a carrier.
      assertEquals("done", executor.submit(() -> "done").get());
      served.thaw();
      for (Future<?> future : futures) {
        future.get();
      }
      // Errors are those of the calling thread.
      executor
          .submit(
              () -> {
                SidecallException e =
                    assertRefused(Code.INVALID_ARGUMENT, () -> model.newCall(0));
                assertTrue(
                    List.of(e.getStackTrace()).toString().contains("ServedTest"), e.toString());
                assertRefused(Code.INVALID_JSON, () -> model.predictJson("{"));
              })
          .get();
    }
  }

  @Test
  void interruptionDoesNotEndARunAndIsKept() throws Exception {
    try (Served served = serve("penguins.onnx");
        Model model = served.connect()) {
      model.predict(Map.of());
      served.freeze();
      CompletableFuture<Boolean> wasInterrupted = new CompletableFuture<>();
      Thread thread =
          Thread.ofVirtual()
              .start(
                  () -> {
                    model.predict(Map.of());
                    wasInterrupted.complete(Thread.currentThread().isInterrupted());
                  });
      thread.interrupt();
      served.thaw();
      assertTrue(wasInterrupted.get());
    }
  }

  @Test
  void aFrozenServerHoldsNoCallBeyondItsDeadline() throws Exception {
    try (Served served = serve("penguins.onnx");
        Model model = served.connect()) {
      List<Call> calls = new ArrayList<>();
      for (int i = 0; i < 20; ++i) {
        calls.add(model.newCall(1));
        calls.get(i).clear();
      }
      CompletableFuture<Map<String, Object>> first = model.predictAsync(Map.of());
      first.join();
      served.freeze();
      CompletableFuture<Map<String, Object>> cancelled = model.predictAsync(Map.of());
      List<Thread> threads = new ArrayList<>();
      List<Code> outcomes = java.util.Collections.synchronizedList(new ArrayList<>());
      for (int i = 0; i < 20; ++i) {
        Call call = calls.get(i);
        Thread.Builder builder = i % 2 == 0 ? Thread.ofVirtual() : Thread.ofPlatform();
        boolean isCancelled = i % 4 < 2;
        threads.add(
            builder.start(
                () -> {
                  try {
                    call.run(isCancelled ? Duration.ofMinutes(1) : Duration.ofMillis(100));
                  } catch (SidecallException e) {
                    outcomes.add(e.code());
                  }
                }));
      }
      TimeUnit.MILLISECONDS.sleep(150);
      for (Thread thread : threads) {
        while (thread.isAlive()) {
          for (int i = 0; i < 20; ++i) {
            if (i % 4 < 2) {
              calls.get(i).cancel();
            }
          }
          thread.join(10);
        }
      }
      assertEquals(20, outcomes.size());
      assertEquals(Set.of(Code.TIMEOUT, Code.CANCELLED), Set.copyOf(outcomes));
      assertTrue(cancelled.cancel(true));
      assertThrows(CancellationException.class, cancelled::join);
      CompletableFuture<Map<String, Object>> late =
          model.newPredictor(Map.class, Map.class).predictAsync(Map.of(), Duration.ofMillis(50))
              .thenApply(answer -> Map.of());
      CompletionException e = assertThrows(CompletionException.class, late::join);
      Code code = ((SidecallException) e.getCause()).code();
      assertTrue(code == Code.TIMEOUT || code == Code.UNREACHABLE, code.toString());
      calls.get(0).close();
      served.thaw();
      model.predict(Map.of());
      calls.get(1).run();
      calls.forEach(Call::close);
    }
  }

  @Test
  void everyCallHasOneOutcomeWhenTheServerIsKilled() throws Exception {
    try (Served served = serve("penguins.onnx");
        Model model = served.connect()) {
      Predictor<Penguin, Species> predictor = model.newPredictor(Penguin.class, Species.class);
      Species wanted = predictor.predict(ADELIE);
      AtomicBoolean isOver = new AtomicBoolean();
      List<Thread> threads = new ArrayList<>();
      List<String> problems = java.util.Collections.synchronizedList(new ArrayList<>());
      for (int i = 0; i < 16; ++i) {
        int way = i % 3;
        Thread.Builder builder = way == 0 ? Thread.ofVirtual() : Thread.ofPlatform();
        threads.add(
            builder.start(
                () -> {
                  while (!isOver.get()) {
                    try {
                      Species got =
                          way == 2
                              ? predictor.predictAsync(ADELIE, Duration.ofSeconds(20)).join()
                              : predictor.predict(ADELIE, Duration.ofSeconds(20));
                      if (!got.equals(wanted)) {
                        problems.add(got.toString());
                      }
                    } catch (RuntimeException e) {
                      Throwable cause = e instanceof CompletionException ? e.getCause() : e;
                      Code code =
                          cause instanceof SidecallException refused ? refused.code() : null;
                      if (code != Code.PEER_DIED && code != Code.UNREACHABLE) {
                        problems.add(cause.toString());
                      }
                    }
                  }
                }));
      }
      for (int i = 0; i < 10; ++i) {
        TimeUnit.MILLISECONDS.sleep(200);
        served.kill();
        served.start();
      }
      isOver.set(true);
      for (Thread thread : threads) {
        thread.join();
      }
      assertEquals(List.of(), problems);
      assertEquals(wanted, predictor.predict(ADELIE));
    }
  }

  @Test
  void viewsOfAServedModelAreReadAndWrittenInPlace() throws Exception {
    try (Served served = serve("gbm.onnx");
        Model model = served.connect();
        Call call = model.newCall(2)) {
      MemorySegment input = call.input(0).segment();
      input.fill((byte) 0);
      call.run();
      int output = model.outputs().size() - 1;
      View view = call.output(output);
      byte first = view.segment().get(java.lang.foreign.ValueLayout.JAVA_BYTE, 0);
      call.runAsync().join();
      assertEquals(first, view.segment().get(java.lang.foreign.ValueLayout.JAVA_BYTE, 0));
      served.kill();
      SidecallException e =
          assertThrows(SidecallException.class, () -> call.run(Duration.ofMillis(100)));
      assertEquals(Family.CHANNEL, e.family());
      assertThrows(
          IllegalStateException.class,
          () -> view.segment().get(java.lang.foreign.ValueLayout.JAVA_BYTE, 0));
      input.fill((byte) 0); // stays usable, and the next server gets it
      served.start();
      call.run(Duration.ofSeconds(20));
      assertEquals(
          first, call.output(output).segment().get(java.lang.foreign.ValueLayout.JAVA_BYTE, 0));
    }
  }

  @Test
  void aProgramIsStartedAsTheServer() {
    String command = System.getenv("SIDECALL_TEST_COMMAND");
    String uri = "exec:" + command + " serve " + Models.path("penguins.onnx");
    assertRefused(Code.INVALID_ARGUMENT, () -> Sidecall.open(uri));
    Options options = Options.DEFAULTS.withAllowExec(true).withWait(Duration.ofSeconds(20));
    try (Model model = Sidecall.open(uri, options)) {
      assertEquals("Adelie", model.predict(ADELIE, Species.class).label());
    }
  }
}
