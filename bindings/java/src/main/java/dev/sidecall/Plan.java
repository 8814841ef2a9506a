package dev.sidecall;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.AccessibleObject;
import java.lang.reflect.Constructor;
import java.lang.reflect.Method;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.RecordComponent;
import java.lang.reflect.Type;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** A type of records and a type of answers whose names were looked up in a model. */
record Plan(Reader reader, Writer writer) {
  /** The types of a plan. */
  record Key(Class<?> record, Class<?> answer) {}

  private static final MethodHandles.Lookup LOOKUP = MethodHandles.lookup();

  static Plan of(Model model, Key key) {
    return new Plan(readerOf(model, key.record), writerOf(model, key.answer));
  }

  // Records.

  private static Reader readerOf(Model model, Class<?> type) {
    if (type == Map.class) {
      return new Reader.OfMap();
    }
    if (!type.isRecord()) {
      throw SidecallException.refuse(
          Code.INVALID_ARGUMENT,
          "the type of a record: expected a record or Map, got " + type.getTypeName());
    }
    List<MethodHandle> steps = new ArrayList<>();
    Set<Integer> seen = new HashSet<>();
    for (RecordComponent component : type.getRecordComponents()) {
      int feature = model.feature(nameOf(component));
      FeatureSpec spec = model.core().features.get(feature);
      if (!seen.add(feature)) {
        throw SidecallException.refuse(
            Code.INVALID_ARGUMENT,
            String.format(
                "component %s of %s: expected one component for feature '%s', got a second",
                component.getName(), type.getTypeName(), spec.name()));
      }
      if (!FeatureTypes.isKnown(component.getType())) {
        throw SidecallException.refuse(
            Code.INVALID_ARGUMENT,
            String.format(
                "component %s of %s: expected a boolean, String, number, Instant, ZonedDateTime,"
                    + " OffsetDateTime, LocalDateTime or LocalDate, got %s",
                component.getName(), type.getTypeName(), component.getGenericType().getTypeName()));
      }
      if (!FeatureTypes.fits(component.getType(), spec)) {
        throw wrongType(
            component,
            "feature",
            spec.name(),
            FeatureTypes.expected(spec),
            "",
            FeatureTypes.got(component.getType(), spec));
      }
      MethodHandle put = putterOf(component.getType(), spec.dtype() == Dtype.DATETIME);
      put = MethodHandles.insertArguments(put, 1, (long) Header.Value.SIZE * feature);
      MethodHandle get = accessor(type, component.getAccessor());
      put = put.asType(put.type().changeParameterType(1, component.getType()));
      put = MethodHandles.filterArguments(put, 1, get);
      steps.add(put.asType(MethodType.methodType(void.class, Workspace.class, Object.class)));
    }
    requireAll(model.core().features, seen, type);
    return Compiled.reader(inOrder(steps, 0, steps.size()));
  }

  /** Refuses a type that lacks a required feature, because every run would be refused. */
  private static void requireAll(List<FeatureSpec> features, Set<Integer> seen, Class<?> type) {
    for (int i = 0; i < features.size(); ++i) {
      FeatureSpec spec = features.get(i);
      if (!spec.isNullable() && !seen.contains(i)) {
        throw SidecallException.refuse(
            Code.MISSING_VALUE,
            spec.name(),
            spec.dtype().toString(),
            "no component",
            String.format(
                "feature '%s', which may not be missing: expected a component of %s, got none",
                spec.name(), type.getTypeName()));
      }
    }
  }

  /** The error of a component whose type the feature or column never has. */
  private static SidecallException wrongType(
      RecordComponent component,
      String what,
      String name,
      String expected,
      String types,
      String got) {
    return SidecallException.refuse(
        Code.DTYPE_MISMATCH,
        name,
        expected,
        got,
        String.format(
            "component %s of %s: %s '%s': expected %s%s, got %s",
            component.getName(),
            component.getDeclaringRecord().getTypeName(),
            what,
            name,
            expected,
            types,
            got));
  }

  private static String nameOf(RecordComponent component) {
    Name name = component.getAnnotation(Name.class);
    return name == null ? component.getName() : name.value();
  }

  private static MethodHandle accessor(Class<?> type, Method method) {
    try {
      open(type, method);
      return LOOKUP.unreflect(method);
    } catch (IllegalAccessException e) {
      throw new IllegalStateException(e);
    }
  }

  private static void open(Class<?> type, AccessibleObject member) {
    try {
      member.setAccessible(true);
    } catch (RuntimeException e) {
      throw SidecallException.refuse(
          Code.INVALID_ARGUMENT,
          String.format(
              "%s: expected a package that its module exports or opens to dev.sidecall, got %s",
              type.getTypeName(), type.getPackageName()));
    }
  }

  /** Calls all handles, in order. Their depth stays small, so that the compiler inlines them. */
  private static MethodHandle inOrder(List<MethodHandle> steps, int begin, int end) {
    if (end - begin == 0) {
      return MethodHandles.empty(
          MethodType.methodType(void.class, Workspace.class, Object.class));
    }
    if (end - begin == 1) {
      return steps.get(begin);
    }
    int middle = (begin + end) / 2;
    return MethodHandles.foldArguments(
        inOrder(steps, middle, end), inOrder(steps, begin, middle));
  }

  /** Returns a handle of type (Workspace, long offset, T)void. */
  private static MethodHandle putterOf(Class<?> type, boolean isDatetime) {
    if (type == double.class || type == float.class) {
      return find(isDatetime ? "putEpoch" : "put", double.class);
    }
    if (type == long.class || type == int.class || type == short.class || type == byte.class) {
      return find(isDatetime ? "putEpoch" : "put", long.class);
    }
    if (type == boolean.class || type == String.class) {
      return find("put", type);
    }
    if (type == Double.class && !isDatetime) {
      return find("put", type);
    }
    return find("put", Object.class);
  }

  private static MethodHandle find(String name, Class<?> type) {
    try {
      return LOOKUP.findStatic(
          Plan.class,
          name,
          MethodType.methodType(void.class, Workspace.class, long.class, type));
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException(e);
    }
  }

  private static void put(Workspace w, long offset, double value) {
    Values.putF64(w.values + offset, value);
  }

  private static void put(Workspace w, long offset, long value) {
    Values.putI64(w.values + offset, value);
  }

  private static void put(Workspace w, long offset, boolean value) {
    Values.putBool(w.values + offset, value);
  }

  private static void put(Workspace w, long offset, String value) {
    if (value == null) {
      Values.putMissing(w.values + offset);
    } else {
      Values.putText(w, w.values + offset, value);
    }
  }

  private static void put(Workspace w, long offset, Double value) {
    if (value == null) {
      Values.putMissing(w.values + offset);
    } else {
      Values.putF64(w.values + offset, value);
    }
  }

  private static void put(Workspace w, long offset, Object value) {
    FeatureSpec feature = w.core.features.get((int) (offset / Header.Value.SIZE));
    Values.putAny(w, w.values + offset, value, feature);
  }

  private static void putEpoch(Workspace w, long offset, double value) {
    Values.putEpoch(w, w.values + offset, value);
  }

  private static void putEpoch(Workspace w, long offset, long value) {
    Values.putEpoch(w, w.values + offset, value);
  }

  // Answers.

  private static Writer writerOf(Model model, Class<?> type) {
    List<ColumnSpec> columns = model.core().columns();
    if (type == Map.class) {
      return new Writer.OfMap(columns);
    }
    if (!type.isRecord()) {
      throw SidecallException.refuse(
          Code.INVALID_ARGUMENT,
          "the type of an answer: expected a record or Map, got " + type.getTypeName());
    }
    RecordComponent[] components = type.getRecordComponents();
    MethodHandle[] getters = new MethodHandle[components.length];
    Class<?>[] types = new Class<?>[components.length];
    List<Integer> indices = new ArrayList<>();
    for (int i = 0; i < components.length; ++i) {
      types[i] = components[i].getType();
      getters[i] = getterOf(model, type, components[i], columns, indices).asType(
          MethodType.methodType(types[i], Workspace.class));
    }
    MethodHandle make;
    try {
      make = MethodHandles.filterArguments(constructor(type, types), 0, getters);
    } catch (IllegalArgumentException e) { // constructors may have more parameters than handles
      throw SidecallException.refuse(
          Code.UNSUPPORTED,
          "the type of an answer: expected a record with fewer components, got "
              + components.length
              + ": use Map.class");
    }
    make =
        MethodHandles.permuteArguments(
            make, MethodType.methodType(type, Workspace.class), new int[components.length]);
    make = make.asType(MethodType.methodType(Object.class, Workspace.class));
    return Compiled.writer(make, indices.stream().mapToInt(Integer::intValue).toArray());
  }

  private static MethodHandle constructor(Class<?> type, Class<?>[] parameters) {
    try {
      Constructor<?> constructor = type.getDeclaredConstructor(parameters);
      open(type, constructor);
      return LOOKUP.unreflectConstructor(constructor);
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException(e);
    }
  }

  /** Returns a handle of type (Workspace)T, and adds the columns that it reads to `indices`. */
  private static MethodHandle getterOf(
      Model model,
      Class<?> type,
      RecordComponent component,
      List<ColumnSpec> columns,
      List<Integer> indices) {
    String name = nameOf(component);
    int first = indices.size();
    List<String> keys = new ArrayList<>();
    ColumnSpec spec = null;
    String types = "";
    if (isContainer(component.getType())) {
      for (int i = 0; i < columns.size(); ++i) {
        ColumnSpec column = columns.get(i);
        if (column.output().equals(name) && column.form() != ColumnSpec.Form.SCALAR) {
          keys.add(column.key());
          spec = column;
          indices.add(i);
        }
      }
    }
    MethodHandle get;
    if (spec != null) {
      String function = containerFunction(component, spec.dtype());
      types = containers(spec.dtype());
      get =
          function == null
              ? null
              : findContainer(function, first, List.copyOf(keys), elementOf(component));
    } else {
      int column = model.column(name);
      spec = columns.get(column);
      indices.add(column);
      String function = scalarFunction(component.getType(), spec.dtype());
      get = function == null ? null : findScalar(function, first);
    }
    if (get == null) {
      throw wrongType(
          component,
          types.isEmpty() ? "column" : "output",
          name,
          spec.dtype().toString(),
          types,
          component.getGenericType().getTypeName());
    }
    return get;
  }

  private static boolean isContainer(Class<?> type) {
    return type.isArray() || type == Map.class || type == List.class;
  }

  private static boolean isFloat(Dtype dtype) {
    return dtype == Dtype.FLOAT32 || dtype == Dtype.FLOAT64;
  }

  private static boolean isInteger(Dtype dtype) {
    return !isFloat(dtype) && dtype != Dtype.STRING && dtype != Dtype.BOOL;
  }

  /** Returns the function of {@link Answers} for a component; null if its type is another one. */
  private static String scalarFunction(Class<?> type, Dtype dtype) {
    if (type == Object.class) {
      return "getObject";
    } else if ((type == double.class || type == Double.class) && isFloat(dtype)) {
      return "getDouble";
    } else if ((type == float.class || type == Float.class) && dtype == Dtype.FLOAT32) {
      return "getFloat";
    } else if ((type == long.class || type == Long.class) && isInteger(dtype)) {
      return "getLong";
    } else if ((type == int.class || type == Integer.class) && fitsInt(dtype)) {
      return "getInt";
    } else if ((type == boolean.class || type == Boolean.class) && dtype == Dtype.BOOL) {
      return "getBoolean";
    } else if (type == String.class && dtype == Dtype.STRING) {
      return "getString";
    }
    return null;
  }

  private static boolean fitsInt(Dtype dtype) {
    return switch (dtype) {
      case INT8, UINT8, INT16, UINT16, INT32 -> true;
      default -> false;
    };
  }

  private static String containerFunction(RecordComponent component, Dtype dtype) {
    Class<?> type = component.getType();
    if (type == double[].class && isFloat(dtype)) {
      return "doubles";
    } else if (type == float[].class && dtype == Dtype.FLOAT32) {
      return "floats";
    } else if (type == long[].class && isInteger(dtype)) {
      return "longs";
    } else if (type == boolean[].class && dtype == Dtype.BOOL) {
      return "booleans";
    } else if (type == String[].class && dtype == Dtype.STRING) {
      return "strings";
    } else if (type == List.class || type == Map.class) {
      Class<?> element = elementOf(component);
      if (element != null
          && scalarFunction(element, dtype) != null
          && (type == List.class || argumentsOf(component)[0] == String.class)) {
        return type == List.class ? "list" : "map";
      }
    }
    return null;
  }

  private static Type[] argumentsOf(RecordComponent component) {
    return component.getGenericType() instanceof ParameterizedType generic
        ? generic.getActualTypeArguments()
        : new Type[] {String.class, Object.class};
  }

  /** Returns the type of the elements of a list, or of the values of a map; null for another. */
  private static Class<?> elementOf(RecordComponent component) {
    Type[] arguments = argumentsOf(component);
    return arguments[arguments.length - 1] instanceof Class<?> element ? element : null;
  }

  /** The types of components for all columns of an output, for errors. */
  private static String containers(Dtype dtype) {
    String[] types =
        switch (dtype) {
          case FLOAT32, FLOAT64 -> new String[] {"Double", "double[]"};
          case STRING -> new String[] {"String", "String[]"};
          case BOOL -> new String[] {"Boolean", "boolean[]"};
          default -> new String[] {"Long", "long[]"};
        };
    return String.format(" (Map<String, %1$s>, List<%1$s> or %2$s)", types[0], types[1]);
  }

  private static MethodHandle findScalar(String function, int index) {
    Class<?> result =
        switch (function) {
          case "getObject" -> Object.class;
          case "getDouble" -> double.class;
          case "getFloat" -> float.class;
          case "getLong" -> long.class;
          case "getInt" -> int.class;
          case "getBoolean" -> boolean.class;
          default -> String.class;
        };
    MethodHandle get = findAnswer(function, result, Workspace.class, int.class);
    return MethodHandles.insertArguments(get, 1, index);
  }

  private static MethodHandle findContainer(
      String function, int first, List<String> keys, Class<?> element) {
    if (function.equals("list") || function.equals("map")) {
      Class<?> result = function.equals("list") ? List.class : Map.class;
      MethodHandle get =
          findAnswer(function, result, int.class, List.class, Class.class, Workspace.class);
      return MethodHandles.insertArguments(get, 0, first, keys, element);
    }
    Class<?> result =
        switch (function) {
          case "doubles" -> double[].class;
          case "floats" -> float[].class;
          case "longs" -> long[].class;
          case "booleans" -> boolean[].class;
          default -> String[].class;
        };
    MethodHandle get = findAnswer(function, result, int.class, List.class, Workspace.class);
    return MethodHandles.insertArguments(get, 0, first, keys);
  }

  private static MethodHandle findAnswer(String name, Class<?> result, Class<?>... parameters) {
    try {
      return LOOKUP.findStatic(Answers.class, name, MethodType.methodType(result, parameters));
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException(e);
    }
  }
}
