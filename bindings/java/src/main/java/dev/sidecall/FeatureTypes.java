package dev.sidecall;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.time.ZonedDateTime;
import java.util.Map;

/**
 * Says which types the components of records may have. It refuses a type only if the library
 * refuses every value of it, apart from missing ones.
 */
final class FeatureTypes {
  private enum Kind {
    NUMBER,
    BOOLEAN,
    TEXT,
    INSTANT, // a point in time
    WALL_CLOCK,
    ANY // the run looks at each value
  }

  private static final Map<Class<?>, Kind> KINDS =
      Map.ofEntries(
          Map.entry(double.class, Kind.NUMBER),
          Map.entry(float.class, Kind.NUMBER),
          Map.entry(long.class, Kind.NUMBER),
          Map.entry(int.class, Kind.NUMBER),
          Map.entry(short.class, Kind.NUMBER),
          Map.entry(byte.class, Kind.NUMBER),
          Map.entry(Double.class, Kind.NUMBER),
          Map.entry(Float.class, Kind.NUMBER),
          Map.entry(Long.class, Kind.NUMBER),
          Map.entry(Integer.class, Kind.NUMBER),
          Map.entry(Short.class, Kind.NUMBER),
          Map.entry(Byte.class, Kind.NUMBER),
          Map.entry(BigDecimal.class, Kind.NUMBER),
          Map.entry(BigInteger.class, Kind.NUMBER),
          Map.entry(boolean.class, Kind.BOOLEAN),
          Map.entry(Boolean.class, Kind.BOOLEAN),
          Map.entry(String.class, Kind.TEXT),
          Map.entry(Instant.class, Kind.INSTANT),
          Map.entry(ZonedDateTime.class, Kind.INSTANT),
          Map.entry(OffsetDateTime.class, Kind.INSTANT),
          Map.entry(LocalDateTime.class, Kind.WALL_CLOCK),
          Map.entry(LocalDate.class, Kind.WALL_CLOCK),
          Map.entry(Object.class, Kind.ANY));

  private FeatureTypes() {}

  /** Whether any feature has values of this type. */
  static boolean isKnown(Class<?> type) {
    return KINDS.containsKey(type);
  }

  /** Whether the feature has values of this type, which is a known one. */
  static boolean fits(Class<?> type, FeatureSpec feature) {
    Kind kind = KINDS.get(type);
    return kind == Kind.ANY
        || switch (feature.dtype()) {
          case FLOAT32, FLOAT64, INT64 -> kind == Kind.NUMBER;
          case BOOL -> kind == Kind.BOOLEAN;
          case STRING -> kind == Kind.TEXT;
          case DATETIME ->
              switch (kind) {
                case TEXT -> true;
                case NUMBER -> !feature.epoch().isEmpty();
                case INSTANT -> !feature.zone().isEmpty();
                case WALL_CLOCK -> feature.zone().isEmpty();
                default -> false;
              };
          default -> true; // of a newer library, which decides
        };
  }

  /** What a feature has, for errors. */
  static String expected(FeatureSpec feature) {
    if (feature.dtype() != Dtype.DATETIME) {
      return feature.dtype().toString();
    }
    return feature.zone().isEmpty()
        ? "a datetime without a time zone"
        : "a datetime with a time zone";
  }

  /** What a component that does not fit has, for errors. */
  static String got(Class<?> type, FeatureSpec feature) {
    boolean isCount = feature.dtype() == Dtype.DATETIME && KINDS.get(type) == Kind.NUMBER;
    return type.getTypeName()
        + (isCount ? ", a number, for which the contract has no 'epoch'" : "");
  }
}
