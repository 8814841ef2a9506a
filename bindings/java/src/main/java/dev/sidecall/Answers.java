package dev.sidecall;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Reads the values of an answer. */
final class Answers {
  private Answers() {}

  static double getDouble(Workspace w, int index) {
    return Values.f64(w, index);
  }

  static float getFloat(Workspace w, int index) {
    return (float) Values.f64(w, index); // the column is float32
  }

  static long getLong(Workspace w, int index) {
    return Values.i64(w, index);
  }

  static int getInt(Workspace w, int index) {
    return (int) Values.i64(w, index); // the type of the column fits
  }

  static boolean getBoolean(Workspace w, int index) {
    return Values.i64(w, index) != 0;
  }

  static String getString(Workspace w, int index) {
    return Values.text(w, index);
  }

  static Object getObject(Workspace w, int index) {
    return Values.any(w, index);
  }

  /** Returns a value as an element of a list or map, whose type fits the column. */
  private static Object element(Workspace w, int index, Class<?> type) {
    if (type == Float.class) {
      return getFloat(w, index);
    }
    if (type == Integer.class) {
      return getInt(w, index);
    }
    return Values.any(w, index);
  }

  static Map<String, Object> map(int first, List<String> keys, Class<?> element, Workspace w) {
    Map<String, Object> values = LinkedHashMap.newLinkedHashMap(keys.size());
    for (int i = 0; i < keys.size(); ++i) {
      values.put(keys.get(i), element(w, first + i, element));
    }
    return values;
  }

  static List<Object> list(int first, List<String> keys, Class<?> element, Workspace w) {
    List<Object> values = new ArrayList<>(keys.size());
    for (int i = 0; i < keys.size(); ++i) {
      values.add(element(w, first + i, element));
    }
    return values;
  }

  static double[] doubles(int first, List<String> keys, Workspace w) {
    double[] values = new double[keys.size()];
    for (int i = 0; i < values.length; ++i) {
      values[i] = Values.f64(w, first + i);
    }
    return values;
  }

  static float[] floats(int first, List<String> keys, Workspace w) {
    float[] values = new float[keys.size()];
    for (int i = 0; i < values.length; ++i) {
      values[i] = (float) Values.f64(w, first + i);
    }
    return values;
  }

  static long[] longs(int first, List<String> keys, Workspace w) {
    long[] values = new long[keys.size()];
    for (int i = 0; i < values.length; ++i) {
      values[i] = Values.i64(w, first + i);
    }
    return values;
  }

  static boolean[] booleans(int first, List<String> keys, Workspace w) {
    boolean[] values = new boolean[keys.size()];
    for (int i = 0; i < values.length; ++i) {
      values[i] = Values.i64(w, first + i) != 0;
    }
    return values;
  }

  static String[] strings(int first, List<String> keys, Workspace w) {
    String[] values = new String[keys.size()];
    for (int i = 0; i < values.length; ++i) {
      values[i] = Values.text(w, first + i);
    }
    return values;
  }

  /** Returns all values of an output whose columns have no names. */
  static Object array(int first, List<String> keys, Dtype dtype, Workspace w) {
    return switch (dtype) {
      case FLOAT32, FLOAT64 -> doubles(first, keys, w);
      case STRING -> strings(first, keys, w);
      case BOOL -> booleans(first, keys, w);
      default -> longs(first, keys, w);
    };
  }
}
