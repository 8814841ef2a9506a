package dev.sidecall;

import static dev.sidecall.Compare.describe;
import static dev.sidecall.Compare.isSame;
import static dev.sidecall.Compare.real;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/**
 * The cases of tests/vectors run in process, on the engine that sidecall chooses and on the native
 * engine, and over shared memory, HTTP and gRPC. tests/vectors/README.md has the rules.
 */
class VectorsTest {
  private static final Set<String> KEYS =
      Set.of(
          "name",
          "model",
          "open",
          "inputs",
          "record",
          "json",
          "outputs",
          "result",
          "tolerance",
          "expect_status",
          "expect_error",
          "after");
  private static final Set<String> OPEN_KEYS = Set.of("as", "uri", "verify", "extra");
  private static final Set<String> ERROR_KEYS =
      Set.of("name", "expected", "got", "row", "message", "num_faults");

  private final Map<String, Vector> all = readAll();

  private static Map<String, Vector> readAll() {
    Map<String, Vector> vectors = new TreeMap<>();
    try (Stream<Path> files = Files.list(Path.of(Models.FOLDER, "../cases"))) {
      for (Path file : files.filter(path -> path.toString().endsWith(".json")).toList()) {
        for (Object one : (List<?>) Json.parse(Files.readString(file))) {
          Vector vector = new Vector(members(one));
          vectors.put(vector.text("name"), vector);
        }
      }
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
    assertTrue(vectors.size() >= 400, vectors.size() + " cases");
    return vectors;
  }

  @SuppressWarnings("unchecked") // the parser makes such maps
  private static Map<String, Object> members(Object object) {
    return (Map<String, Object>) object;
  }

  /** A comparison has found this difference. */
  private static final class Different extends RuntimeException {
    private static final long serialVersionUID = 1;

    Different(String message) {
      super(message);
    }
  }

  private interface Way {
    void run();
  }

  /** One case. */
  private static final class Vector {
    private final Map<String, Object> json;

    Vector(Map<String, Object> json) {
      this.json = json;
      assertTrue(KEYS.containsAll(json.keySet()), json.toString());
      assertTrue(OPEN_KEYS.containsAll(members("open").keySet()), json.toString());
      assertTrue(ERROR_KEYS.containsAll(members("expect_error").keySet()), json.toString());
      String status = text("expect_status");
      assertTrue(status == null || Code.valueOf(status) != Code.UNKNOWN, json.toString());
    }

    Map<String, Object> members(String key) {
      return json.containsKey(key) ? VectorsTest.members(json.get(key)) : Map.of();
    }

    boolean has(String key) {
      return json.containsKey(key);
    }

    String text(String key) {
      return (String) json.get(key);
    }

    double tolerance() {
      return has("tolerance") ? real(json.get("tolerance")) : 0;
    }

    String path() {
      Object uri = members("open").get("uri");
      return uri != null
          ? ((String) uri).replace("$MODELS", Models.FOLDER)
          : Models.path(text("model"));
    }

    Options options(Options.Engine engine) {
      Object verify = members("open").getOrDefault("verify", "error");
      Object extra = members("open").getOrDefault("extra", "error");
      return Options.DEFAULTS
          .withVerify(Options.Verify.valueOf(verify.toString().toUpperCase()))
          .withExtra(Options.Extra.valueOf(extra.toString().toUpperCase()))
          .withEngine(engine);
    }

    Model open(Options.Engine engine) throws IOException {
      return "bytes".equals(members("open").get("as"))
          ? Sidecall.open(Files.readAllBytes(Path.of(path())), options(engine))
          : Sidecall.open(path(), options(engine));
    }

    /**
     * The same case over the network. The texts of errors name dimensions there, which the protocol
     * does not have, so only the status is compared.
     */
    Vector overNetwork() {
      Map<String, Object> copy = new LinkedHashMap<>(json);
      copy.remove("expect_error");
      return new Vector(copy);
    }

    /** Whether a server of a file can run the case. */
    boolean isServed() {
      return (has("inputs") || has("record") || has("json"))
          && !members("open").containsKey("uri")
          && !members("open").containsKey("as");
    }

    /** Throws what is wrong with an error. */
    void judge(SidecallException e) {
      String message = e.getMessage();
      if (!e.code().name().equals(text("expect_status"))) {
        throw new Different("got " + e.code() + ": " + message);
      }
      boolean hasControls = message.chars().anyMatch(Character::isISOControl);
      if (hasControls || Character.isUpperCase(message.charAt(0))) {
        throw new Different("the message is not a line in lower case: " + message);
      }
      boolean isRetryable =
          switch (e.code()) {
            case BUSY, PEER_DIED, TIMEOUT, UNREACHABLE, OUT_OF_MEMORY -> true;
            default -> false;
          };
      if (e.isRetryable() != isRetryable) {
        throw new Different("retryable is " + e.isRetryable());
      }
      Map<String, Object> got =
          Map.of(
              "name", e.name(),
              "expected", e.expected(),
              "got", e.got(),
              "message", message,
              "row", e.row(),
              "num_faults", e.numFaults());
      members("expect_error")
          .forEach(
              (key, wanted) -> {
                if (!wanted.toString().equals(got.get(key).toString())) {
                  throw new Different(key + ": expected " + wanted + ", got " + got.get(key));
                }
              });
    }

    /** Calls in one way, and judges the outcome. */
    void attempt(String way, Way call) {
      try {
        try {
          call.run();
        } catch (SidecallException e) {
          judge(e);
          return;
        }
        if (has("expect_status")) {
          throw new Different("expected " + text("expect_status") + ", but it passed");
        }
      } catch (Different e) {
        throw new Different(way + ": " + e.getMessage());
      }
    }

    /** Calls the model in all ways that the case has. */
    void ask(Model model) {
      if (has("inputs")) {
        attempt("run", () -> run(model));
      }
      if (has("json")) {
        byte[] bytes = bytes(json.get("json"));
        attempt("json", () -> compare(Json.parse(text(model.predictJson(bytes)))));
      }
      if (has("record")) {
        String record = write(json.get("record"));
        attempt("json", () -> compare(Json.parse(model.predictJson(record))));
        askValues(model, json.get("record"));
      }
    }

    private static String text(byte[] utf8) {
      return new String(utf8, StandardCharsets.UTF_8);
    }

    private void compare(Object got) {
      if (has("result") && !isSame(json.get("result"), got, tolerance())) {
        throw new Different("got " + got);
      }
    }

    /** Gives the record as values of Java, if it has this form. */
    private void askValues(Model model, Object record) {
      if (record instanceof Map) {
        Map<String, ?> values = VectorsTest.members(plain(record));
        attempt("values", () -> compare(model.predict(values)));
        attempt("async", () -> compare(join(model.predictAsync(values))));
      } else if (record instanceof List<?> list
          && !list.isEmpty()
          && list.stream().allMatch(one -> one instanceof Map)) {
        List<Map<String, Object>> records = new ArrayList<>();
        list.forEach(one -> records.add(VectorsTest.members(plain(one))));
        attempt("values", () -> compare(model.predictMany(records)));
      }
    }

    private void run(Model model) {
      Map<String, Tensor> inputs = new LinkedHashMap<>();
      try (Call call = model.newCall(1)) {
        members("inputs")
            .forEach(
                (name, value) -> {
                  int index = model.input(name);
                  inputs.put(name, tensor(VectorsTest.members(value)));
                  call.copyInput(index, inputs.get(name));
                });
        call.run();
        Map<String, Tensor> outputs = model.run(inputs);
        Map<String, Tensor> later = join(model.runAsync(inputs));
        members("outputs")
            .forEach(
                (name, value) -> {
                  Tensor wanted = tensor(VectorsTest.members(value));
                  Tensor got = call.output(model.output(name)).toTensor();
                  for (Tensor found : List.of(got, outputs.get(name), later.get(name))) {
                    if (!isSame(wanted, found, tolerance())) {
                      throw new Different("output " + name + ": got " + describe(found));
                    }
                  }
                });
      }
    }

    /** Runs the case over a model that was just opened. */
    void askOpened(Model model, Map<String, Vector> all) {
      if (!has("inputs") && !has("record") && !has("json")) {
        attempt("open", () -> {});
        return;
      }
      ask(model);
      if (has("after")) {
        try {
          all.get(text("after")).ask(model);
        } catch (Different e) {
          throw new Different("afterwards, " + e.getMessage());
        }
      }
    }
  }

  private static <T> T join(java.util.concurrent.CompletableFuture<T> future) {
    try {
      return future.join();
    } catch (java.util.concurrent.CompletionException e) {
      throw e.getCause() instanceof SidecallException refused ? refused : e;
    }
  }

  private static byte[] bytes(Object x) {
    return x instanceof Map<?, ?> object
        ? HexFormat.of().parseHex((String) object.get("hex"))
        : ((String) x).getBytes(StandardCharsets.UTF_8);
  }

  /** Writes a value as JSON text. */
  private static String write(Object value) {
    StringBuilder out = new StringBuilder();
    switch (value) {
      case Map<?, ?> object -> {
        List<String> parts = new ArrayList<>();
        object.forEach((name, member) -> parts.add(write(name) + ":" + write(member)));
        out.append("{").append(String.join(",", parts)).append("}");
      }
      case List<?> list ->
          out.append("[").append(String.join(",", list.stream().map(x -> write(x)).toList()))
              .append("]");
      case String text -> {
        out.append('"');
        for (char c : text.toCharArray()) {
          out.append(
              c < 0x20 || c == '"' || c == '\\' || Character.isSurrogate(c)
                  ? String.format("\\u%04x", (int) c)
                  : String.valueOf(c));
        }
        out.append('"');
      }
      case null, default -> out.append(value);
    }
    return out.toString();
  }

  /** Returns a value of a record as Java has it. */
  private static Object plain(Object value) {
    return switch (value) {
      case Json.Number number ->
          number.text.matches("-?[0-9]+")
              ? new BigInteger(number.text)
              : number.text.length() % 2 == 0
                  ? new BigDecimal(number.text)
                  : (Object) number.real();
      case Map<?, ?> object -> {
        Map<Object, Object> members = new LinkedHashMap<>();
        object.forEach((name, member) -> members.put(name, plain(member)));
        yield members;
      }
      case List<?> list -> list.stream().map(x -> plain(x)).toList();
      case null -> null;
      default -> value;
    };
  }

  private static Dtype dtypeOf(String name) {
    return Arrays.stream(Dtype.values())
        .filter(dtype -> dtype.toString().equals(name))
        .findFirst()
        .orElseThrow();
  }

  private static Tensor tensor(Map<String, Object> json) {
    Dtype dtype = dtypeOf((String) json.get("dtype"));
    long[] shape =
        ((List<?>) json.get("shape")).stream().mapToLong(x -> Long.parseLong(x + "")).toArray();
    List<?> data = (List<?>) json.get("data");
    switch (dtype) {
      case FLOAT64:
        return Tensor.of(data.stream().mapToDouble(Compare::real).toArray(), shape);
      case FLOAT32:
        float[] floats = new float[data.size()];
        for (int i = 0; i < floats.length; ++i) {
          floats[i] = (float) real(data.get(i));
        }
        return Tensor.of(floats, shape);
      case BOOL:
        boolean[] flags = new boolean[data.size()];
        for (int i = 0; i < flags.length; ++i) {
          flags[i] = (boolean) data.get(i);
        }
        return Tensor.of(flags, shape);
      case STRING:
        return data.stream().allMatch(x -> x instanceof String)
            ? Tensor.of(data.toArray(String[]::new), shape)
            : Tensor.ofUtf8(data.stream().map(VectorsTest::bytes).toArray(byte[][]::new), shape);
      default:
        byte[] raw = new byte[data.size() * Math.max(dtype.bits() / 8, 1)];
        int width = raw.length / Math.max(data.size(), 1);
        for (int i = 0; i < data.size(); ++i) {
          long number = new BigInteger(data.get(i).toString()).longValue();
          for (int k = 0; k < width; ++k) {
            raw[i * width + k] = (byte) (number >> 8 * k);
          }
        }
        return Tensor.of(dtype, MemorySegment.ofArray(raw), shape);
    }
  }

  @Test
  void everyVectorPassesInProcess() throws IOException {
    List<String> problems = new ArrayList<>();
    for (Vector vector : all.values()) {
      try {
        ask(vector, Options.Engine.AUTO);
      } catch (Different e) {
        problems.add(vector.text("name") + ": " + e.getMessage());
      }
    }
    assertEquals(List.of(), problems);
  }

  private void ask(Vector vector, Options.Engine engine) throws IOException {
    try (Model model = vector.open(engine)) {
      vector.askOpened(model, all);
    } catch (SidecallException e) {
      vector.judge(e);
    }
  }

  /**
   * The native engine refuses some graphs, each with its reason; ONNX Runtime has other codes for
   * files that contradict themselves.
   */
  @Test
  void everyVectorPassesOnTheNativeEngineOrIsRefusedByIt() throws IOException {
    List<String> problems = new ArrayList<>();
    int refused = 0;
    for (Vector vector : all.values()) {
      try {
        ask(vector, Options.Engine.NATIVE);
      } catch (Different e) {
        if (e.getMessage().matches("got (UNSUPPORTED|FILE_INVALID):.*")) {
          ++refused;
        } else {
          problems.add(vector.text("name") + ": " + e.getMessage());
        }
      }
    }
    assertEquals(List.of(), problems);
    assertTrue(refused * 10 < all.size(), refused + " are refused");
  }

  /** Cases of files that do not open have no server to call. */
  @Test
  void everyVectorPassesOverSharedMemory() throws IOException {
    List<String> problems = new ArrayList<>();
    int count = 0;
    for (Vector vector : all.values()) {
      try {
        vector.open(Options.Engine.AUTO).close();
      } catch (SidecallException e) {
        continue;
      }
      ++count;
      Object verify = vector.members("open").getOrDefault("verify", "error");
      try (Served served =
              Served.of(vector.path(), Map.of("SIDECALL_VERIFY", verify.toString()));
          Model model = served.connect(vector.options(Options.Engine.AUTO))) {
        vector.askOpened(model, all);
      } catch (Different e) {
        problems.add(vector.text("name") + ": " + e.getMessage());
      } catch (SidecallException e) {
        problems.add(vector.text("name") + ": open: " + e.getMessage());
      }
    }
    assertEquals(List.of(), problems);
    assertTrue(count >= 300, count + " cases were served");
  }

  /**
   * The Open Inference Protocol has no names for dimensions, no way to say that an output has no
   * known shape, and fewer types.
   */
  private static final Pattern NOT_OVER_NETWORK =
      Pattern.compile(
          "^shapes/(unshaped|two_inputs_rows_differ|matmul_inner_differs)"
              + "|bfloat16|float8|int4|rows_differ");

  @Test
  void everyVectorPassesOverHttp() throws IOException {
    askOverNetwork(Served.Route.HTTP);
  }

  @Test
  void everyVectorPassesOverGrpc() throws IOException {
    askOverNetwork(Served.Route.GRPC);
  }

  private void askOverNetwork(Served.Route route) throws IOException {
    Map<String, List<Vector>> byFile = new TreeMap<>();
    for (Vector vector : all.values()) {
      if (vector.isServed() && !NOT_OVER_NETWORK.matcher(vector.text("name")).find()) {
        byFile.computeIfAbsent(vector.path(), path -> new ArrayList<>()).add(vector);
      }
    }
    List<String> problems = new ArrayList<>();
    int count = 0;
    for (Map.Entry<String, List<Vector>> file : byFile.entrySet()) {
      try {
        Sidecall.open(file.getKey()).close();
      } catch (SidecallException e) {
        continue;
      }
      try (Served served = Served.of(file.getKey(), route)) {
        for (Vector vector : file.getValue()) {
          ++count;
          try (Model model = served.connect(vector.options(Options.Engine.AUTO))) {
            vector.overNetwork().askOpened(model, all);
          } catch (Different e) {
            problems.add(vector.text("name") + ": " + e.getMessage());
          } catch (SidecallException e) {
            problems.add(vector.text("name") + ": open: " + e.getMessage());
          }
        }
      }
    }
    assertEquals(List.of(), problems);
    assertTrue(count >= 200, count + " cases were served");
  }
}
