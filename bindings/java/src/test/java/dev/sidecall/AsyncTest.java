package dev.sidecall;

import static dev.sidecall.Models.ADELIE;
import static dev.sidecall.Models.assertRefused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.sidecall.Models.Penguin;
import dev.sidecall.Models.Species;
import java.io.IOException;
import java.lang.ref.WeakReference;
import java.net.URL;
import java.net.URLClassLoader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/** Many runs under way at once, and every way to wait for their futures. */
class AsyncTest {
  private static final int FLIGHT = 64;

  /** How programs call the server; NetworkTest has other ways. */
  Served.Route route() {
    return Served.Route.SHM;
  }

  private Served serve(String model) throws IOException {
    return Served.of(Models.path(model), route());
  }

  private static Options many() {
    return Options.DEFAULTS.withMaxCalls(2 * FLIGHT);
  }

  /** Which outcome a future has: a name of {@link Code}, OK, or CANCELLED_BY_PROGRAM. */
  private static String outcome(Object value, Throwable failure) {
    if (failure == null) {
      return value == null ? "null" : "OK";
    }
    Throwable cause = failure instanceof CompletionException ? failure.getCause() : failure;
    if (cause instanceof CancellationException) {
      return "CANCELLED_BY_PROGRAM";
    }
    return cause instanceof SidecallException refused ? refused.code().name() : cause.toString();
  }

  @Test
  void everyWayToWaitGetsTheAnswer() throws Exception {
    try (Served served = serve("penguins.onnx");
        Model model = served.connect(many())) {
      Predictor<Penguin, Species> predictor = model.newPredictor(Penguin.class, Species.class);
      Species wanted = predictor.predict(ADELIE);
      for (int round = 0; round < 300; ++round) {
        List<CompletableFuture<Species>> futures = new ArrayList<>();
        for (int i = 0; i < 32; ++i) {
          futures.add(predictor.predictAsync(ADELIE));
        }
        CompletableFuture<Species> combined =
            futures.get(0).thenCombine(futures.get(1), (a, b) -> a);
        CompletableFuture<Object> any =
            CompletableFuture.anyOf(futures.get(2), new CompletableFuture<>());
        CompletableFuture<Void> all =
            CompletableFuture.allOf(futures.subList(3, 8).toArray(new CompletableFuture<?>[0]));
        assertEquals(wanted, futures.get(30).join());
        assertEquals(wanted, futures.get(31).get());
        assertEquals(wanted, futures.get(29).get(1, TimeUnit.MINUTES));
        assertEquals(wanted, combined.join());
        assertEquals(wanted, any.get());
        assertEquals(null, all.join());
        assertEquals(
            wanted, futures.get(9).thenCompose(a -> predictor.predictAsync(ADELIE)).join());
        while (!futures.get(10).isDone()) {
          Thread.onSpinWait();
        }
        while (futures.get(11).state() == java.util.concurrent.Future.State.RUNNING) {
          Thread.onSpinWait();
        }
        assertEquals(wanted, futures.get(11).resultNow());
        CompletableFuture<Species> joined = futures.get(12);
        Thread waiting = Thread.ofVirtual().start(() -> assertEquals(wanted, joined.join()));
        CompletableFuture<Species> inPool =
            CompletableFuture.supplyAsync(() -> futures.get(13).join());
        assertEquals(wanted, inPool.join());
        waiting.join();
        for (CompletableFuture<Species> future : futures) {
          assertEquals(wanted, future.join());
        }
      }
    }
  }

  @Test
  void severalThreadsWaitForOneFuture() throws Exception {
    try (Served served = serve("penguins.onnx");
        Model model = served.connect()) {
      Predictor<Penguin, Species> predictor = model.newPredictor(Penguin.class, Species.class);
      Species wanted = predictor.predict(ADELIE);
      for (int round = 0; round < 200; ++round) {
        CompletableFuture<Species> future = predictor.predictAsync(ADELIE);
        List<Species> got = Collections.synchronizedList(new ArrayList<>());
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < 6; ++i) {
          Thread.Builder builder = i % 2 == 0 ? Thread.ofVirtual() : Thread.ofPlatform();
          threads.add(builder.start(() -> got.add(future.join())));
        }
        got.add(future.thenApply(answer -> answer).join());
        for (Thread thread : threads) {
          thread.join();
        }
        assertEquals(Collections.nCopies(7, wanted), got);
      }
    }
  }

  /** What depends on one run may wait for another one, also for one that ended before it. */
  @Test
  void anActionMayWaitForOtherRuns() throws Exception {
    try (Served served = serve("penguins.onnx");
        Model model = served.connect(many())) {
      Predictor<Penguin, Species> predictor = model.newPredictor(Penguin.class, Species.class);
      Species wanted = predictor.predict(ADELIE);
      for (int round = 0; round < 200; ++round) {
        CountDownLatch begun = new CountDownLatch(1);
        List<CompletableFuture<Species>> futures = new ArrayList<>();
        List<CompletableFuture<Species>> actions = new ArrayList<>();
        for (int i = 0; i < 8; ++i) {
          futures.add(predictor.predictAsync(ADELIE));
        }
        for (int i = 0; i < 8; ++i) {
          CompletableFuture<Species> other = futures.get((i + 3) % 8);
          actions.add(
              futures
                  .get(i)
                  .thenApply(
                      answer -> {
                        begun.countDown();
                        return other.join();
                      }));
        }
        begun.await();
        assertEquals(wanted, model.predict(ADELIE, Species.class));
        for (CompletableFuture<Species> action : actions) {
          assertEquals(wanted, action.join());
        }
      }
    }
  }

  @Test
  void everyFutureHasOneOutcomeWhenTheServerIsKilledAndRunsAreCancelled() throws Exception {
    Random random = new Random(7);
    Set<String> seen = new TreeSet<>();
    try (Served served = serve("penguins.onnx");
        Model model = served.connect(many())) {
      Predictor<Penguin, Species> predictor = model.newPredictor(Penguin.class, Species.class);
      predictor.predict(ADELIE);
      for (int round = 0; round < 10; ++round) {
        List<CompletableFuture<Species>> futures = new ArrayList<>();
        List<CompletableFuture<?>> actions = new ArrayList<>();
        AtomicInteger count = new AtomicInteger();
        for (int i = 0; i < 20 * FLIGHT; ++i) {
          CompletableFuture<Species> future =
              predictor.predictAsync(ADELIE, Duration.ofSeconds(30));
          futures.add(future);
          if (round % 2 == 0 || i % 2 == 0) {
            actions.add(future.handle((answer, e) -> count.incrementAndGet()));
          }
          if (random.nextInt(20) == 0) {
            futures.get(Math.max(0, i - random.nextInt(FLIGHT))).cancel(true);
          }
          if (i % FLIGHT == 0 && i > 0) {
            outcomeOf(futures.get(i - FLIGHT));
          }
          if (i == random.nextInt(10 * FLIGHT) || i == 10 * FLIGHT) {
            served.kill();
            served.start();
          }
        }
        served.kill();
        served.start();
        for (CompletableFuture<Species> future : futures) {
          seen.add(outcomeOf(future));
        }
        for (CompletableFuture<?> action : actions) {
          action.get(60, TimeUnit.SECONDS);
        }
        assertEquals(actions.size(), count.get());
      }
      assertEquals("Adelie", predictor.predict(ADELIE, Duration.ofSeconds(30)).label());
    }
    assertTrue(seen.containsAll(Set.of("OK", "CANCELLED_BY_PROGRAM")), seen.toString());
    seen.removeAll(Set.of("OK", "CANCELLED_BY_PROGRAM", "PEER_DIED", "UNREACHABLE"));
    assertEquals(Set.of(), seen);
  }

  private static String outcomeOf(CompletableFuture<?> future) throws Exception {
    try {
      return outcome(future.get(60, TimeUnit.SECONDS), null);
    } catch (ExecutionException e) {
      return outcome(null, e.getCause());
    } catch (CancellationException e) {
      return outcome(null, e);
    }
  }

  @Test
  void aClosedModelEndsTheRunsThatAreUnderWayAsUsual() throws Exception {
    try (Served served = serve("penguins.onnx")) {
      for (int round = 0; round < 20; ++round) {
        List<CompletableFuture<Species>> futures = new ArrayList<>();
        Species wanted;
        try (Model model = served.connect(Options.DEFAULTS.withMaxCalls(FLIGHT))) {
          Predictor<Penguin, Species> predictor = model.newPredictor(Penguin.class, Species.class);
          wanted = predictor.predict(ADELIE);
          for (int i = 0; i < FLIGHT; ++i) {
            futures.add(predictor.predictAsync(ADELIE));
          }
        }
        for (int i = 0; i < FLIGHT; ++i) {
          CompletableFuture<Species> future = futures.get(i);
          assertEquals(wanted, i % 2 == 0 ? future.join() : future.thenApply(a -> a).join());
        }
      }
    }
  }

  @Test
  void callsAreClosedAndCancelledWhileTheirRunsAreUnderWay() throws Exception {
    Random random = new Random(11);
    try (Served served = serve("penguins.onnx");
        Model model = served.connect()) {
      for (int round = 0; round < 200; ++round) {
        List<Call> calls = new ArrayList<>();
        List<CompletableFuture<Void>> futures = new ArrayList<>();
        for (int i = 0; i < 8; ++i) {
          Call call = model.newCall(1);
          call.clear();
          calls.add(call);
          futures.add(call.runAsync());
        }
        if (round % 10 == 0) {
          served.freeze();
        }
        for (int i = 0; i < 8; ++i) {
          switch (random.nextInt(4)) {
            case 0 -> calls.get(i).close();
            case 1 -> calls.get(i).cancel();
            case 2 -> futures.get(i).cancel(true);
            default -> {}
          }
        }
        if (round % 10 == 0) {
          served.thaw();
        }
        for (int i = 0; i < 8; ++i) {
          CompletableFuture<String> outcome =
              futures.get(i).handle((nothing, e) -> outcome("", e));
          String found = outcome.get(60, TimeUnit.SECONDS);
          assertTrue(Set.of("OK", "CANCELLED", "CANCELLED_BY_PROGRAM").contains(found), found);
          calls.get(i).close();
        }
      }
    }
  }

  @Test
  void aThreadThatWaitsForASlowRunCanLeave() throws Exception {
    try (Served served = serve("penguins.onnx");
        Model model = served.connect()) {
      Map<String, Object> wanted = model.predict(Map.of());
      assertEquals(wanted, model.predictAsync(Map.of()).join());
      served.freeze();
      CompletableFuture<Map<String, Object>> future = model.predictAsync(Map.of());
      assertThrows(TimeoutException.class, () -> future.get(0, TimeUnit.SECONDS));
      assertThrows(TimeoutException.class, () -> future.get(1, TimeUnit.NANOSECONDS));
      assertThrows(TimeoutException.class, () -> future.get(5, TimeUnit.MILLISECONDS));
      Thread.currentThread().interrupt();
      assertThrows(InterruptedException.class, future::get);
      Thread.currentThread().interrupt();
      assertThrows(InterruptedException.class, () -> future.get(1, TimeUnit.MINUTES));
      CompletableFuture<Map<String, Object>> completed = model.predictAsync(Map.of());
      CompletableFuture<Map<String, Object>> cancelled = model.predictAsync(Map.of());
      Thread.ofPlatform()
          .start(
              () -> {
                completed.complete(null);
                cancelled.cancel(false);
              });
      assertEquals(null, completed.join());
      assertThrows(CancellationException.class, cancelled::join);
      CompletableFuture<Map<String, Object>> late =
          model.newPredictor(Map.class, Map.class).predictAsync(Map.of(), Duration.ofMillis(30))
              .thenApply(answer -> wanted);
      ExecutionException e = assertThrows(ExecutionException.class, late::get);
      assertTrue(
          Set.of(Code.TIMEOUT, Code.UNREACHABLE)
              .contains(((SidecallException) e.getCause()).code()),
          e.toString());
      assertFalse(future.isDone());
      served.thaw();
      assertEquals(wanted, future.join());
      assertEquals(wanted, model.predictAsync(Map.of()).join());
    }
  }

  /** While the server hangs, so that the run cannot end in another way. */
  @Test
  void cancellingAFutureEndsTheRunOfItsCall() throws Exception {
    try (Served served = serve("penguins.onnx");
        Model model = served.connect();
        Call call = model.newCall(1)) {
      call.clear();
      call.run();
      served.freeze();
      for (int i = 0; i < 20; ++i) {
        CompletableFuture<Void> future = call.runAsync();
        assertRefused(Code.BUSY, "a run of runAsync that has not ended", call::rows);
        assertTrue(future.cancel(true));
        awaitFree(call::rows);
      }
      CompletableFuture<Void> future = call.runAsync();
      call.cancel();
      assertEquals("CANCELLED", outcomeOf(future));
      served.thaw();
      call.run();
    }
  }

  /** Calls a function until the call is no longer busy. */
  private static void awaitFree(Runnable function) throws InterruptedException {
    for (long end = System.nanoTime() + TimeUnit.MINUTES.toNanos(1); true; ) {
      try {
        function.run();
        return;
      } catch (SidecallException e) {
        assertEquals(Code.BUSY, e.code());
        assertTrue(System.nanoTime() < end, "the call stays busy");
        TimeUnit.MILLISECONDS.sleep(1);
      }
    }
  }

  /** The run of a file goes on for some time after its deadline and uses the memory of the call. */
  @Test
  void aCallCanBeUsedAgainOnceTheEngineHasStopped() throws Exception {
    Options slow = Options.DEFAULTS.withEngine(Options.Engine.ONNXRUNTIME); // has one node
    try (Model model = Sidecall.open(Models.path("gbm.onnx"), slow);
        Call call = model.newCall(200_000)) {
      call.input(0).segment().fill((byte) 0);
      call.run();
      List<Object> wanted = call.getRow(0);
      for (int i = 0; i < 3; ++i) {
        assertEquals("TIMEOUT", outcomeOf(call.runAsync(Duration.ofMillis(10))));
        call.run(); // waits for the engine
        assertEquals(wanted, call.getRow(0));
        assertEquals("TIMEOUT", outcomeOf(call.runAsync(Duration.ofMillis(10))));
        awaitFree(() -> call.setRow(0, new double[30]));
        call.runAsync().join();
        assertEquals(wanted, call.getRow(0));
      }
      assertEquals("TIMEOUT", outcomeOf(call.runAsync(Duration.ofMillis(10))));
    } // closes while the engine works
  }

  /** Their calls go back to the model while the engine still uses them. */
  @Test
  void runsOfAFileEndAtTheirDeadlineAndLeaveNothingToTheNext() throws Exception {
    try (Model model = Sidecall.open(Models.path("gbm.onnx"), many())) {
      String input = model.inputs().get(0).name();
      Map<String, Tensor> large = Map.of(input, Tensor.of(new float[30 * 200_000], 200_000, 30));
      Map<String, Tensor> small = Map.of(input, Tensor.of(new float[30], 1, 30));
      float[] wanted = model.run(small).get("probabilities").floats();
      for (int i = 0; i < 20; ++i) {
        CompletableFuture<?> late = model.runAsync(large, Duration.ofMillis(1));
        CompletableFuture<?> cancelled = model.runAsync(large);
        cancelled.cancel(true);
        assertEquals("TIMEOUT", outcomeOf(late));
        assertArrayEquals(
            wanted, model.runAsync(small).join().get("probabilities").floats());
        assertRefused(Code.MISSING_INPUT, () -> model.run(Map.of()));
      }
    }
  }

  /** A server that hangs does not delay the runs of another model. */
  @Test
  void aServerThatHangsLeavesOtherModelsAlone() throws Exception {
    try (Served hanging = serve("penguins.onnx");
        Served served = serve("penguins.onnx");
        Model slow = hanging.connect();
        Model model = served.connect()) {
      slow.predict(Map.of());
      Map<String, Object> wanted = model.predict(Map.of());
      hanging.freeze();
      List<CompletableFuture<Object>> waiting = new ArrayList<>();
      for (int i = 0; i < 4; ++i) {
        waiting.add(slow.predictAsync(Map.of()).thenApply(answer -> answer));
      }
      for (int i = 0; i < 1000; ++i) {
        assertEquals(wanted, model.predictAsync(Map.of()).thenApply(answer -> answer).join());
      }
      assertTrue(waiting.stream().noneMatch(CompletableFuture::isDone));
      hanging.thaw();
      for (CompletableFuture<Object> future : waiting) {
        assertEquals(wanted, future.join());
      }
    }
  }

  @Test
  void threadsOfTheModuleHoldNothingOfTheThreadThatStartsThem() throws Exception {
    InheritableThreadLocal<Object> local = new InheritableThreadLocal<>();
    ClassLoader before = Thread.currentThread().getContextClassLoader();
    URLClassLoader loader = new URLClassLoader(new URL[0], before);
    Object value = new Object();
    WeakReference<Object> valueGone = new WeakReference<>(value);
    WeakReference<Object> loaderGone = new WeakReference<>(loader);
    try (Served served = serve("penguins.onnx");
        Model model = served.connect()) {
      try {
        Thread.currentThread().setContextClassLoader(loader);
        local.set(value);
        model.predictAsync(Map.of()).thenApply(answer -> answer).join(); // connects
        long own =
            Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().startsWith("sidecall-"))
                .peek(thread -> assertTrue(thread.isDaemon()))
                .peek(
                    thread ->
                        assertSame(
                            ClassLoader.getSystemClassLoader(), thread.getContextClassLoader()))
                .count();
        assertTrue(own > 0);
      } finally {
        Thread.currentThread().setContextClassLoader(before);
        local.remove();
      }
      loader.close();
      loader = null;
      value = null;
      for (int i = 0; i < 100 && (valueGone.get() != null || loaderGone.get() != null); ++i) {
        System.gc();
        TimeUnit.MILLISECONDS.sleep(10);
      }
      assertEquals(null, valueGone.get());
      assertEquals(null, loaderGone.get());
    }
  }
}
