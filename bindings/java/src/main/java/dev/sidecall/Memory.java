package dev.sidecall;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * Reads and writes native memory by its address.
 *
 * <p>Handles and structs are addresses in {@code long}, not segments of an arena: a downcall with
 * segments of a shared arena takes and releases each of them, which costs more than the function
 * that it calls. So this package itself must not use an address after it was released.
 */
@SuppressWarnings("restricted") // see module-info.java
final class Memory {
  private static final MemorySegment ALL = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);

  private Memory() {}

  static byte getByte(long address) {
    return ALL.get(ValueLayout.JAVA_BYTE, address);
  }

  static int getInt(long address) {
    return ALL.get(ValueLayout.JAVA_INT, address);
  }

  static long getLong(long address) {
    return ALL.get(ValueLayout.JAVA_LONG, address);
  }

  static double getDouble(long address) {
    return ALL.get(ValueLayout.JAVA_DOUBLE, address);
  }

  static void putByte(long address, byte value) {
    ALL.set(ValueLayout.JAVA_BYTE, address, value);
  }

  static void putInt(long address, int value) {
    ALL.set(ValueLayout.JAVA_INT, address, value);
  }

  static void putLong(long address, long value) {
    ALL.set(ValueLayout.JAVA_LONG, address, value);
  }

  static void putDouble(long address, double value) {
    ALL.set(ValueLayout.JAVA_DOUBLE, address, value);
  }

  static void clear(long address, long size) {
    ALL.asSlice(address, size).fill((byte) 0);
  }

  static void copyIn(long address, byte[] bytes) {
    MemorySegment.copy(bytes, 0, ALL, ValueLayout.JAVA_BYTE, address, bytes.length);
  }

  static void copyIn(long address, int[] values) {
    MemorySegment.copy(values, 0, ALL, ValueLayout.JAVA_INT, address, values.length);
  }

  static void copyIn(long address, long[] values) {
    MemorySegment.copy(values, 0, ALL, ValueLayout.JAVA_LONG, address, values.length);
  }

  static void copyIn(long address, double[] values) {
    MemorySegment.copy(values, 0, ALL, ValueLayout.JAVA_DOUBLE, address, values.length);
  }

  static void copyIn(long address, boolean[] flags) {
    for (int i = 0; i < flags.length; ++i) {
      putByte(address + i, (byte) (flags[i] ? 1 : 0));
    }
  }

  static void copyIn(long address, MemorySegment segment) {
    MemorySegment.copy(segment, 0, ALL, address, segment.byteSize());
  }

  static void copyOut(long address, double[] values) {
    MemorySegment.copy(ALL, ValueLayout.JAVA_DOUBLE, address, values, 0, values.length);
  }

  static void copyOut(long address, long[] values) {
    MemorySegment.copy(ALL, ValueLayout.JAVA_LONG, address, values, 0, values.length);
  }

  static byte[] bytes(long address, int length) {
    byte[] bytes = new byte[length];
    MemorySegment.copy(ALL, ValueLayout.JAVA_BYTE, address, bytes, 0, length);
    return bytes;
  }

  /** Returns the text of these bytes; "" for the address 0. */
  static String text(long address, long length) {
    if (address == 0 || length == 0) {
      return "";
    }
    return new String(bytes(address, Math.toIntExact(length)), StandardCharsets.UTF_8);
  }

  /** Returns a text that ends with NUL; "" for the address 0. */
  static String text(long address) {
    long length = 0;
    if (address != 0) {
      while (getByte(address + length) != 0) {
        ++length;
      }
    }
    return text(address, length);
  }

  static boolean equals(long address, long length, byte[] bytes) {
    if (length != bytes.length) {
      return false;
    }
    for (int i = 0; i < bytes.length; ++i) {
      if (getByte(address + i) != bytes[i]) {
        return false;
      }
    }
    return true;
  }

  /** Writes a text that consists of ASCII only. Returns false for any other text. */
  static boolean putAscii(long address, String text) {
    for (int i = 0, length = text.length(); i < length; ++i) {
      char c = text.charAt(i);
      if (c >= 0x80) {
        return false;
      }
      putByte(address + i, (byte) c);
    }
    return true;
  }

  /**
   * Returns a text as UTF-8. Half of a surrogate pair becomes the bytes of its number, which the
   * library refuses as invalid UTF-8: {@link String#getBytes} would send a question mark in its
   * place.
   */
  static byte[] utf8(String text) {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    return !contains(bytes, (byte) 0x3F) || isWhole(text) ? bytes : raw(text);
  }

  private static boolean contains(byte[] bytes, byte wanted) {
    for (byte b : bytes) {
      if (b == wanted) {
        return true;
      }
    }
    return false;
  }

  private static boolean isWhole(String text) {
    for (int i = 0; i < text.length(); ++i) {
      char c = text.charAt(i);
      if (Character.isHighSurrogate(c)
          && i + 1 < text.length()
          && Character.isLowSurrogate(text.charAt(i + 1))) {
        ++i;
      } else if (Character.isSurrogate(c)) {
        return false;
      }
    }
    return true;
  }

  private static byte[] raw(String text) {
    byte[] bytes = new byte[3 * text.length()];
    int used = 0;
    for (int i = 0; i < text.length(); ++i) {
      int c = text.codePointAt(i);
      if (c > 0xFFFF) {
        bytes[used++] = (byte) (0xF0 | c >> 18);
        bytes[used++] = (byte) (0x80 | c >> 12 & 0x3F);
        bytes[used++] = (byte) (0x80 | c >> 6 & 0x3F);
        bytes[used++] = (byte) (0x80 | c & 0x3F);
        ++i;
      } else if (c > 0x7FF) {
        bytes[used++] = (byte) (0xE0 | c >> 12);
        bytes[used++] = (byte) (0x80 | c >> 6 & 0x3F);
        bytes[used++] = (byte) (0x80 | c & 0x3F);
      } else if (c > 0x7F) {
        bytes[used++] = (byte) (0xC0 | c >> 6);
        bytes[used++] = (byte) (0x80 | c & 0x3F);
      } else {
        bytes[used++] = (byte) c;
      }
    }
    return Arrays.copyOf(bytes, used);
  }
}
