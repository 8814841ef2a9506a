package dev.sidecall;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;

/** Writes values of Java to the structs sidecall_value of a workspace, and reads answers there. */
final class Values {
  private Values() {}

  static void putMissing(long at) {
    Memory.putInt(at + Header.Value.KIND, Header.VALUE_MISSING);
  }

  static void putF64(long at, double value) {
    Memory.putInt(at + Header.Value.KIND, Header.VALUE_F64);
    Memory.putDouble(at + Header.Value.F64, value);
  }

  static void putI64(long at, long value) {
    Memory.putInt(at + Header.Value.KIND, Header.VALUE_I64);
    Memory.putLong(at + Header.Value.I64, value);
  }

  static void putBool(long at, boolean value) {
    Memory.putInt(at + Header.Value.KIND, Header.VALUE_BOOL);
    Memory.putLong(at + Header.Value.I64, value ? 1 : 0);
  }

  static void putText(Workspace w, long at, String value) {
    putText(w, at, Header.VALUE_STR, value);
  }

  private static void putText(Workspace w, long at, int kind, String value) {
    Memory.putInt(at + Header.Value.KIND, kind);
    Memory.putLong(at + Header.Value.TEXT, w.copyText(value));
    Memory.putLong(at + Header.Value.LENGTH, w.copiedBytes());
  }

  /** Writes a plain number for a datetime, in the unit that the contract names, as in JSON. */
  static void putEpoch(Workspace w, long at, long value) {
    putText(w, at, Header.VALUE_EPOCH, Long.toString(value));
  }

  static void putEpoch(Workspace w, long at, double value) {
    if (Double.isNaN(value)) {
      putMissing(at);
    } else if (Double.isInfinite(value)) {
      putF64(at, value); // the library refuses it
    } else {
      putText(w, at, Header.VALUE_EPOCH, Double.toString(value));
    }
  }

  static void putInteger(Workspace w, long at, BigInteger value, boolean isDatetime) {
    if (isDatetime) {
      putText(w, at, Header.VALUE_EPOCH, value.toString());
    } else if (value.bitLength() < 64) {
      putI64(at, value.longValue());
    } else {
      putLarge(w, at, value.doubleValue());
    }
  }

  static void putDecimal(Workspace w, long at, BigDecimal value, boolean isDatetime) {
    if (isDatetime) {
      putText(w, at, Header.VALUE_EPOCH, value.toString());
    } else if (isLong(value)) {
      putI64(at, value.longValueExact());
    } else {
      putLarge(w, at, value.doubleValue());
    }
  }

  private static boolean isLong(BigDecimal value) {
    if (value.precision() - value.scale() > 19) { // so that 1E1000000000 is not expanded
      return false;
    }
    try {
      value.longValueExact();
      return true;
    } catch (ArithmeticException e) {
      return false;
    }
  }

  private static void putLarge(Workspace w, long at, double value) {
    if (Double.isInfinite(value)) {
      putText(w, at, Header.VALUE_INVALID, "a number beyond float64");
    } else {
      putF64(at, value);
    }
  }

  static void putInstant(long at, long seconds, int nanoseconds) {
    putTime(at, Header.VALUE_INSTANT, seconds, nanoseconds);
  }

  static void putWallClock(long at, LocalDateTime value) {
    putTime(at, Header.VALUE_DATETIME, value.toEpochSecond(ZoneOffset.UTC), value.getNano());
  }

  static void putDate(long at, LocalDate value) {
    putTime(at, Header.VALUE_DATETIME, 86_400 * value.toEpochDay(), 0);
  }

  private static void putTime(long at, int kind, long seconds, int nanoseconds) {
    Memory.putInt(at + Header.Value.KIND, kind);
    Memory.putInt(at + Header.Value.NANOSECONDS, nanoseconds);
    Memory.putLong(at + Header.Value.I64, seconds);
  }

  /** Writes a value of any type. The run refuses types that no feature takes. */
  static void putAny(Workspace w, long at, Object value, FeatureSpec feature) {
    boolean isDatetime = feature.dtype() == Dtype.DATETIME;
    boolean isWallClock = value instanceof LocalDateTime || value instanceof LocalDate;
    if (isWallClock && !feature.zone().isEmpty()) {
      putText(w, at, Header.VALUE_INVALID, value.getClass().getTypeName());
      return;
    }
    putAny(w, at, value, isDatetime);
  }

  private static void putAny(Workspace w, long at, Object value, boolean isDatetime) {
    // Tests in the order of how often the types occur, which is faster than a switch of patterns.
    if (value == null) {
      putMissing(at);
    } else if (value instanceof Double x) {
      putNumber(w, at, (double) x, isDatetime);
    } else if (value instanceof String x) {
      putText(w, at, x);
    } else if (value instanceof Integer x) {
      putNumber(w, at, (long) x, isDatetime);
    } else if (value instanceof Long x) {
      putNumber(w, at, (long) x, isDatetime);
    } else if (value instanceof Boolean x) {
      putBool(at, x);
    } else if (value instanceof Float x) {
      putNumber(w, at, (double) x, isDatetime);
    } else if (value instanceof Short x) {
      putNumber(w, at, (long) x, isDatetime);
    } else if (value instanceof Byte x) {
      putNumber(w, at, (long) x, isDatetime);
    } else if (value instanceof BigDecimal x) {
      putDecimal(w, at, x, isDatetime);
    } else if (value instanceof BigInteger x) {
      putInteger(w, at, x, isDatetime);
    } else if (!putAnyTime(at, value)) {
      putText(w, at, Header.VALUE_INVALID, value.getClass().getTypeName());
    }
  }

  private static boolean putAnyTime(long at, Object value) {
    if (value instanceof Instant x) {
      putInstant(at, x.getEpochSecond(), x.getNano());
    } else if (value instanceof ZonedDateTime x) {
      putInstant(at, x.toEpochSecond(), x.getNano());
    } else if (value instanceof OffsetDateTime x) {
      putInstant(at, x.toEpochSecond(), x.getNano());
    } else if (value instanceof LocalDateTime x) {
      putWallClock(at, x);
    } else if (value instanceof LocalDate x) {
      putDate(at, x);
    } else {
      return false;
    }
    return true;
  }

  private static void putNumber(Workspace w, long at, double value, boolean isDatetime) {
    if (isDatetime) {
      putEpoch(w, at, value);
    } else {
      putF64(at, value);
    }
  }

  private static void putNumber(Workspace w, long at, long value, boolean isDatetime) {
    if (isDatetime) {
      putEpoch(w, at, value);
    } else {
      putI64(at, value);
    }
  }

  static double f64(Workspace w, int index) {
    return Memory.getDouble(w.answerAt(index) + Header.Value.F64);
  }

  static long i64(Workspace w, int index) {
    return Memory.getLong(w.answerAt(index) + Header.Value.I64);
  }

  static String text(Workspace w, int index) {
    long at = w.answerAt(index);
    long length = Memory.getLong(at + Header.Value.LENGTH);
    return w.textOf(index, Memory.getLong(at + Header.Value.TEXT), length);
  }

  /** Returns a value of an answer: a Double, Long, Boolean or String. */
  static Object any(Workspace w, int index) {
    return switch (Memory.getInt(w.answerAt(index) + Header.Value.KIND)) {
      case Header.VALUE_F64 -> f64(w, index);
      case Header.VALUE_I64 -> (Object) i64(w, index);
      case Header.VALUE_BOOL -> i64(w, index) != 0;
      default -> text(w, index);
    };
  }
}
