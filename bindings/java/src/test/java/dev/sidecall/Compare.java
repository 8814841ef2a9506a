package dev.sidecall;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Compares answers with those that the cases of tests/vectors expect. */
final class Compare {
  private Compare() {}

  static double real(Object x) {
    return switch (x) {
      case Json.Number number -> number.real();
      case Double number -> number;
      case String word when word.equals("inf") -> Double.POSITIVE_INFINITY;
      case String word when word.equals("-inf") -> Double.NEGATIVE_INFINITY;
      default -> Double.NaN;
    };
  }

  private static boolean isNear(double got, double wanted, double tolerance) {
    return Double.isFinite(wanted)
        ? Math.abs(got - wanted) <= tolerance
        : Double.compare(got, wanted) == 0;
  }

  static boolean isSame(Tensor wanted, Tensor got, double tolerance) {
    if (wanted.dtype() != got.dtype() || !Arrays.equals(wanted.shape(), got.shape())) {
      return false;
    }
    return switch (wanted.dtype()) {
      case FLOAT32 -> isNear(widen(got.floats()), widen(wanted.floats()), tolerance);
      case FLOAT64 -> isNear(got.doubles(), wanted.doubles(), tolerance);
      case BOOL -> Arrays.equals(got.booleans(), wanted.booleans());
      case STRING -> Arrays.equals(got.strings(), wanted.strings());
      default -> Arrays.equals(raw(got), raw(wanted));
    };
  }

  private static double[] widen(float[] values) {
    double[] wide = new double[values.length];
    Arrays.setAll(wide, i -> values[i]);
    return wide;
  }

  private static boolean isNear(double[] got, double[] wanted, double tolerance) {
    for (int i = 0; i < wanted.length; ++i) {
      if (!isNear(got[i], wanted[i], tolerance)) {
        return false;
      }
    }
    return got.length == wanted.length;
  }

  private static byte[] raw(Tensor tensor) {
    MemorySegment memory =
        switch (tensor.dtype().bits()) {
          case 64 -> MemorySegment.ofArray(tensor.longs());
          case 32 -> MemorySegment.ofArray(tensor.ints());
          case 16 -> MemorySegment.ofArray(tensor.shorts());
          default -> MemorySegment.ofArray(tensor.bytes());
        };
    return memory.toArray(ValueLayout.JAVA_BYTE);
  }

  static String describe(Tensor tensor) {
    return switch (tensor.dtype()) {
      case FLOAT32 -> Arrays.toString(tensor.floats());
      case FLOAT64 -> Arrays.toString(tensor.doubles());
      case BOOL -> Arrays.toString(tensor.booleans());
      case STRING -> Arrays.toString(tensor.strings());
      default -> Arrays.toString(raw(tensor));
    };
  }

  /**
   * Compares an expected result with one that was parsed from JSON, or with values of Java. In JSON
   * a number that is not finite is null.
   */
  static boolean isSame(Object wanted, Object got, double tolerance) {
    switch (wanted) {
      case Map<?, ?> object -> {
        if (!(got instanceof Map<?, ?> found)
            || !new ArrayList<>(object.keySet()).equals(new ArrayList<>(found.keySet()))) {
          return false;
        }
        return object.entrySet().stream()
            .allMatch(one -> isSame(one.getValue(), found.get(one.getKey()), tolerance));
      }
      case List<?> list -> {
        List<?> found = listOf(got);
        if (found == null || found.size() != list.size()) {
          return false;
        }
        for (int i = 0; i < list.size(); ++i) {
          if (!isSame(list.get(i), found.get(i), tolerance)) {
            return false;
          }
        }
        return true;
      }
      case String word -> {
        if (got instanceof Double number) {
          return isNear(number, real(word), 0);
        }
        return got == null ? Set.of("nan", "inf", "-inf").contains(word) : word.equals(got);
      }
      case Json.Number number -> {
        return switch (got) {
          case Long whole -> number.text.equals(whole.toString());
          case Json.Number other ->
              number.text.equals(other.text) || isNear(other.real(), number.real(), tolerance);
          case Double x -> isNear(x, number.real(), tolerance);
          case null, default -> false;
        };
      }
      case null -> {
        return got == null;
      }
      default -> {
        return wanted.equals(got);
      }
    }
  }

  private static List<?> listOf(Object got) {
    return switch (got) {
      case List<?> list -> list;
      case double[] x -> Arrays.stream(x).boxed().toList();
      case long[] x -> Arrays.stream(x).boxed().toList();
      case String[] x -> Arrays.asList(x);
      case boolean[] x -> {
        List<Boolean> list = new ArrayList<>();
        for (boolean one : x) {
          list.add(one);
        }
        yield list;
      }
      case null, default -> null;
    };
  }
}
