package dev.sidecall;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Objects;

/**
 * A tensor, in C order: the last dimension varies fastest. It refers to the array or memory that it
 * was made of, and does not copy it.
 *
 * <pre>{@code
 * Tensor x = Tensor.of(new float[] {1, 2, 3, 4}, 2, 2); // two rows of two
 * float[] y = model.run(Map.of("x", x)).get("y").floats();
 * }</pre>
 */
public final class Tensor {
  private final Dtype dtype;
  private final long[] shape;
  private final Object data; // an array, a byte[][] of texts in UTF-8, or a MemorySegment

  private Tensor(Dtype dtype, Object data, long[] shape) {
    this.dtype = Objects.requireNonNull(dtype, "dtype");
    this.data = Objects.requireNonNull(data, "data");
    this.shape = Objects.requireNonNull(shape, "shape").clone();
  }

  /**
   * Makes a tensor of type float32.
   *
   * @param data the elements
   * @param shape the sizes; none for a scalar
   * @return the tensor
   */
  public static Tensor of(float[] data, long... shape) {
    return new Tensor(Dtype.FLOAT32, data, shape);
  }

  /**
   * Makes a tensor of type float64.
   *
   * @param data the elements
   * @param shape the sizes; none for a scalar
   * @return the tensor
   */
  public static Tensor of(double[] data, long... shape) {
    return new Tensor(Dtype.FLOAT64, data, shape);
  }

  /**
   * Makes a tensor of type int64.
   *
   * @param data the elements
   * @param shape the sizes; none for a scalar
   * @return the tensor
   */
  public static Tensor of(long[] data, long... shape) {
    return new Tensor(Dtype.INT64, data, shape);
  }

  /**
   * Makes a tensor of type int32.
   *
   * @param data the elements
   * @param shape the sizes; none for a scalar
   * @return the tensor
   */
  public static Tensor of(int[] data, long... shape) {
    return new Tensor(Dtype.INT32, data, shape);
  }

  /**
   * Makes a tensor of type int16.
   *
   * @param data the elements
   * @param shape the sizes; none for a scalar
   * @return the tensor
   */
  public static Tensor of(short[] data, long... shape) {
    return new Tensor(Dtype.INT16, data, shape);
  }

  /**
   * Makes a tensor of type int8.
   *
   * @param data the elements
   * @param shape the sizes; none for a scalar
   * @return the tensor
   */
  public static Tensor of(byte[] data, long... shape) {
    return new Tensor(Dtype.INT8, data, shape);
  }

  /**
   * Makes a tensor of type bool.
   *
   * @param data the elements
   * @param shape the sizes; none for a scalar
   * @return the tensor
   */
  public static Tensor of(boolean[] data, long... shape) {
    return new Tensor(Dtype.BOOL, data, shape);
  }

  /**
   * Makes a tensor of type string.
   *
   * @param data the elements; U+FDD0 stands for a missing value
   * @param shape the sizes; none for a scalar
   * @return the tensor
   */
  public static Tensor of(String[] data, long... shape) {
    return new Tensor(Dtype.STRING, data, shape);
  }

  /**
   * Makes a tensor of type string from texts that are already encoded.
   *
   * @param data the elements in UTF-8
   * @param shape the sizes; none for a scalar
   * @return the tensor
   */
  public static Tensor ofUtf8(byte[][] data, long... shape) {
    return new Tensor(Dtype.STRING, data, shape);
  }

  /**
   * Makes a tensor of a type that Java does not have, such as uint8 or float16, from raw elements
   * of the same size: short[] for float16, byte[] for int4 with two elements in each byte.
   *
   * @param dtype the type of the elements
   * @param data a byte[], short[], int[] or long[]
   * @param shape the sizes; none for a scalar
   * @return the tensor
   * @throws SidecallException INVALID_ARGUMENT if the elements of the array have another size
   */
  public static Tensor ofRaw(Dtype dtype, Object data, long... shape) {
    Objects.requireNonNull(dtype, "dtype");
    Objects.requireNonNull(data, "data");
    int bits =
        switch (data) {
          case byte[] x -> 8;
          case short[] x -> 16;
          case int[] x -> 32;
          case long[] x -> 64;
          default -> 0;
        };
    if (bits == 0 || bits != Math.max(dtype.bits(), dtype.bits() == 4 ? 8 : 0)) {
      throw wrongData(dtype, data);
    }
    return new Tensor(dtype, data, shape);
  }

  /**
   * Makes a tensor of the elements in memory, in the byte order of the machine.
   *
   * @param dtype the type of the elements; not STRING
   * @param data the memory, whose size is that of the elements
   * @param shape the sizes; none for a scalar
   * @return the tensor
   * @throws SidecallException INVALID_ARGUMENT for strings
   */
  public static Tensor of(Dtype dtype, MemorySegment data, long... shape) {
    Objects.requireNonNull(dtype, "dtype");
    Objects.requireNonNull(data, "data");
    if (dtype.bits() == 0) {
      throw wrongData(dtype, data);
    }
    return new Tensor(dtype, data, shape);
  }

  private static SidecallException wrongData(Dtype dtype, Object data) {
    String type =
        data instanceof MemorySegment ? "MemorySegment" : data.getClass().getTypeName();
    return SidecallException.refuse(
        Code.INVALID_ARGUMENT,
        "tensor of type " + dtype + ": expected an array of such elements, got " + type);
  }

  /**
   * Returns the type of the elements.
   *
   * @return the type
   */
  public Dtype dtype() {
    return dtype;
  }

  /**
   * Returns the sizes.
   *
   * @return a copy of the shape
   */
  public long[] shape() {
    return shape.clone();
  }

  /**
   * Returns the elements of a float32 tensor.
   *
   * @return the array of the tensor, not a copy
   * @throws SidecallException DTYPE_MISMATCH for another type
   */
  public float[] floats() {
    if (dtype == Dtype.FLOAT32 && data instanceof MemorySegment memory) {
      return memory.toArray(ValueLayout.JAVA_FLOAT_UNALIGNED);
    }
    return as(float[].class);
  }

  /**
   * Returns the elements of a float64 tensor.
   *
   * @return the array of the tensor, not a copy
   * @throws SidecallException DTYPE_MISMATCH for another type
   */
  public double[] doubles() {
    if (dtype == Dtype.FLOAT64 && data instanceof MemorySegment memory) {
      return memory.toArray(ValueLayout.JAVA_DOUBLE_UNALIGNED);
    }
    return as(double[].class);
  }

  /**
   * Returns the elements of an int64 or uint64 tensor.
   *
   * @return the array of the tensor, not a copy
   * @throws SidecallException DTYPE_MISMATCH for another type
   */
  public long[] longs() {
    if (dtype != Dtype.FLOAT64 && dtype.bits() == 64 && data instanceof MemorySegment memory) {
      return memory.toArray(ValueLayout.JAVA_LONG_UNALIGNED);
    }
    return as(long[].class);
  }

  /**
   * Returns the elements of an int32 or uint32 tensor.
   *
   * @return the array of the tensor, not a copy
   * @throws SidecallException DTYPE_MISMATCH for another type
   */
  public int[] ints() {
    if (dtype != Dtype.FLOAT32 && dtype.bits() == 32 && data instanceof MemorySegment memory) {
      return memory.toArray(ValueLayout.JAVA_INT_UNALIGNED);
    }
    return as(int[].class);
  }

  /**
   * Returns the elements of an int16 or uint16 tensor, or the raw ones of float16 or bfloat16.
   *
   * @return the array of the tensor, not a copy
   * @throws SidecallException DTYPE_MISMATCH for another type
   */
  public short[] shorts() {
    if (dtype.bits() == 16 && data instanceof MemorySegment memory) {
      return memory.toArray(ValueLayout.JAVA_SHORT_UNALIGNED);
    }
    return as(short[].class);
  }

  /**
   * Returns the elements of an int8 or uint8 tensor, or the raw ones of another type of 8 or 4
   * bits.
   *
   * @return the array of the tensor, not a copy
   * @throws SidecallException DTYPE_MISMATCH for another type
   */
  public byte[] bytes() {
    boolean isByte = dtype != Dtype.BOOL && (dtype.bits() == 8 || dtype.bits() == 4);
    if (isByte && data instanceof MemorySegment memory) {
      return memory.toArray(ValueLayout.JAVA_BYTE);
    }
    return as(byte[].class);
  }

  /**
   * Returns the elements of a bool tensor.
   *
   * @return the array of the tensor, not a copy
   * @throws SidecallException DTYPE_MISMATCH for another type
   */
  public boolean[] booleans() {
    if (dtype == Dtype.BOOL && data instanceof MemorySegment memory) {
      boolean[] values = new boolean[Math.toIntExact(memory.byteSize())];
      for (int i = 0; i < values.length; ++i) {
        values[i] = memory.get(ValueLayout.JAVA_BYTE, i) != 0;
      }
      return values;
    }
    return as(boolean[].class);
  }

  /**
   * Returns the elements of a string tensor.
   *
   * @return the array of the tensor, not a copy
   * @throws SidecallException DTYPE_MISMATCH for another type
   */
  public String[] strings() {
    if (data instanceof byte[][] texts) {
      String[] strings = new String[texts.length];
      for (int i = 0; i < texts.length; ++i) {
        strings[i] = new String(texts[i], java.nio.charset.StandardCharsets.UTF_8);
      }
      return strings;
    }
    return as(String[].class);
  }

  private <T> T as(Class<T> type) {
    if (!type.isInstance(data)) {
      throw SidecallException.refuse(
          Code.DTYPE_MISMATCH,
          "elements of a tensor: expected " + dtype + ", got " + type.getTypeName());
    }
    return type.cast(data);
  }

  /** Returns the memory of a tensor that was made of native memory; null for others. */
  MemorySegment nativeMemory() {
    return data instanceof MemorySegment memory && memory.isNative() ? memory : null;
  }

  /** Copies the tensor to a workspace, and returns the view of it, which lives until the next. */
  long toView(Workspace w) {
    byte[][] texts = null;
    long offsets = 0;
    long bytes;
    if (data instanceof String[] strings) {
      texts = encode(strings);
    } else if (data instanceof byte[][] encoded) {
      texts = encoded;
      for (int i = 0; i < texts.length; ++i) {
        element(texts, i);
      }
    }
    if (texts != null) {
      offsets = 8L * (texts.length + 1);
      bytes = 0;
      for (byte[] text : texts) {
        bytes += text.length;
      }
    } else {
      bytes = byteSize();
    }
    long dims = w.tensorMemory(8L * shape.length + offsets + bytes);
    Memory.copyIn(dims, shape);
    long at = dims + 8L * shape.length;
    if (texts != null) {
      copyTexts(texts, at, at + offsets);
      at += offsets;
    } else {
      copyNumbers(at);
    }
    return writeView(w, dims, at, bytes, texts == null ? 0 : at - offsets);
  }

  /** Returns the view of memory that the call reads in place: see {@link #nativeMemory}. */
  long bindView(Workspace w, MemorySegment memory) {
    long dims = w.tensorMemory(8L * shape.length);
    Memory.copyIn(dims, shape);
    return writeView(w, dims, memory.address(), memory.byteSize(), 0);
  }

  private long writeView(Workspace w, long dims, long address, long bytes, long offsets) {
    long view = w.scratch;
    Memory.putInt(view + Header.View.STRUCT_SIZE, Header.View.SIZE);
    Memory.putInt(view + Header.View.DTYPE, dtype.number());
    Memory.putInt(view + Header.View.RANK, shape.length);
    Memory.putInt(view + Header.View.FLAGS, 0);
    Memory.putLong(view + Header.View.DIMS, dims);
    Memory.putLong(view + Header.View.DATA, address);
    Memory.putLong(view + Header.View.DATA_BYTES, bytes);
    Memory.putLong(view + Header.View.OFFSETS, offsets);
    return view;
  }

  private static <T> T element(T[] data, int index) {
    return Objects.requireNonNull(data[index], () -> "data[" + index + "]");
  }

  private static byte[][] encode(String[] strings) {
    byte[][] texts = new byte[strings.length][];
    for (int i = 0; i < texts.length; ++i) {
      texts[i] = Memory.utf8(element(strings, i));
    }
    return texts;
  }

  private static void copyTexts(byte[][] texts, long offsets, long at) {
    long used = 0;
    Memory.putLong(offsets, 0);
    for (int i = 0; i < texts.length; ++i) {
      Memory.copyIn(at + used, texts[i]);
      used += texts[i].length;
      Memory.putLong(offsets + 8L * (i + 1), used);
    }
  }

  private long byteSize() {
    return switch (data) {
      case float[] x -> 4L * x.length;
      case double[] x -> 8L * x.length;
      case long[] x -> 8L * x.length;
      case int[] x -> 4L * x.length;
      case short[] x -> 2L * x.length;
      case byte[] x -> x.length;
      case boolean[] x -> x.length;
      default -> ((MemorySegment) data).byteSize();
    };
  }

  private void copyNumbers(long at) {
    switch (data) {
      case float[] x -> Memory.copyIn(at, MemorySegment.ofArray(x));
      case double[] x -> Memory.copyIn(at, MemorySegment.ofArray(x));
      case long[] x -> Memory.copyIn(at, MemorySegment.ofArray(x));
      case int[] x -> Memory.copyIn(at, MemorySegment.ofArray(x));
      case short[] x -> Memory.copyIn(at, MemorySegment.ofArray(x));
      case byte[] x -> Memory.copyIn(at, x);
      case boolean[] x -> Memory.copyIn(at, x);
      default -> Memory.copyIn(at, (MemorySegment) data);
    }
  }

  /**
   * Describes the tensor, without its elements.
   *
   * @return such as "float32[2, 2]"
   */
  @Override
  public String toString() {
    return dtype + java.util.Arrays.toString(shape);
  }
}
