package dev.sidecall;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;

/**
 * An input or output in the memory of a {@link Call}. Its memory cannot be used after the call has
 * released it: Java then throws an IllegalStateException. {@link Call#input} and {@link
 * Call#output} say when that is. Keep the call as long as its views.
 */
@SuppressWarnings("restricted") // see module-info.java
public final class View {
  private final Dtype dtype;
  private final long[] shape; // null if only a run can tell
  private final MemorySegment data; // null before a run
  private final MemorySegment offsets; // of strings
  private final boolean isReadOnly;
  private final long address;
  private final long offsetsAddress;

  private View(long struct, Arena arena) {
    dtype = Dtype.of(Memory.getInt(struct + Header.View.DTYPE));
    int rank = Memory.getInt(struct + Header.View.RANK);
    isReadOnly = (Memory.getInt(struct + Header.View.FLAGS) & Header.VIEW_READ_ONLY) != 0;
    address = Memory.getLong(struct + Header.View.DATA);
    long bytes = Memory.getLong(struct + Header.View.DATA_BYTES);
    offsetsAddress = Memory.getLong(struct + Header.View.OFFSETS);
    shape = rank < 0 ? null : new long[rank];
    for (int i = 0; i < rank; ++i) {
      shape[i] = Memory.getLong(Memory.getLong(struct + Header.View.DIMS) + 8L * i);
    }
    // An output without elements, or whose strings are all empty, may have no memory.
    boolean hasData =
        shape != null
            && (address != 0 || offsetsAddress != 0 || dtype != Dtype.STRING && count() == 0);
    MemorySegment memory =
        hasData ? MemorySegment.ofAddress(address).reinterpret(bytes, arena, null) : null;
    data = isReadOnly && hasData ? memory.asReadOnly() : memory;
    offsets =
        offsetsAddress == 0 || !hasData
            ? null
            : MemorySegment.ofAddress(offsetsAddress)
                .reinterpret(8 * (count() + 1), arena, null)
                .asReadOnly();
  }

  /** Reads a view that the library has filled; its memory lives as long as the arena. */
  static View of(long struct, Arena arena) {
    return new View(struct, arena);
  }

  /** The view of an output that is copied before anything else happens to the workspace. */
  static View output(Workspace w, int output) {
    w.check(fill(w, output));
    return new View(w.scratch, Arena.global());
  }

  static int fill(Workspace w, int output) {
    Memory.putInt(w.scratch + Header.View.STRUCT_SIZE, Header.View.SIZE);
    return Native.callOutput(w.call, output, w.scratch, w.error);
  }

  /** Whether the view that the library has just filled has the memory and shape of this one. */
  boolean isStill(long struct) {
    if (shape == null
        || shape.length != Memory.getInt(struct + Header.View.RANK)
        || address != Memory.getLong(struct + Header.View.DATA)
        || offsetsAddress != Memory.getLong(struct + Header.View.OFFSETS)
        || data != null && data.byteSize() != Memory.getLong(struct + Header.View.DATA_BYTES)) {
      return false;
    }
    long dims = Memory.getLong(struct + Header.View.DIMS);
    for (int i = 0; i < shape.length; ++i) {
      if (shape[i] != Memory.getLong(dims + 8L * i)) {
        return false;
      }
    }
    return true;
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
   * @return a copy of the shape; null if only a run can tell
   */
  public long[] shape() {
    return shape == null ? null : shape.clone();
  }

  /**
   * Tells whether the memory is that of another process, which must not be written.
   *
   * @return true if {@link #segment} is read-only
   */
  public boolean isReadOnly() {
    return isReadOnly;
  }

  private long count() {
    long count = 1;
    for (long size : shape) {
      count *= size;
    }
    return count;
  }

  /**
   * Returns the memory of all elements.
   *
   * @return the memory, in the byte order of the machine
   * @throws SidecallException NOT_RUN for an output before a run; DTYPE_MISMATCH for strings
   */
  public MemorySegment segment() {
    if (dtype == Dtype.STRING) {
      throw SidecallException.refuse(
          Code.DTYPE_MISMATCH, "elements of a view: expected numbers, got string");
    }
    requireData();
    return data;
  }

  private void requireData() {
    if (data == null) {
      throw SidecallException.refuse(
          Code.NOT_RUN, "elements of a view: expected an output after a run, got none");
    }
  }

  /**
   * Returns a copy of one string.
   *
   * @param index its position in C order
   * @return the string
   * @throws SidecallException NOT_RUN for an output before a run, and for an input; DTYPE_MISMATCH
   *     for numbers
   * @throws IndexOutOfBoundsException for another position
   */
  public String text(long index) {
    requireData();
    if (offsets == null) {
      throw SidecallException.refuse(
          Code.DTYPE_MISMATCH, "elements of a view: expected string, got " + dtype);
    }
    long begin = offsets.getAtIndex(ValueLayout.JAVA_LONG, index);
    long end = offsets.getAtIndex(ValueLayout.JAVA_LONG, index + 1);
    byte[] bytes = data.asSlice(begin, end - begin).toArray(ValueLayout.JAVA_BYTE);
    return new String(bytes, StandardCharsets.UTF_8);
  }

  /**
   * Returns a copy, which may be kept.
   *
   * @return the tensor
   * @throws SidecallException NOT_RUN for an output before a run
   */
  public Tensor toTensor() {
    requireData();
    return switch (dtype) {
      case FLOAT32 -> Tensor.of(data.toArray(ValueLayout.JAVA_FLOAT), shape);
      case FLOAT64 -> Tensor.of(data.toArray(ValueLayout.JAVA_DOUBLE), shape);
      case BOOL -> Tensor.of(Tensor.of(dtype, data, shape).booleans(), shape);
      case STRING -> {
        String[] texts = new String[Math.toIntExact(count())];
        for (int i = 0; i < texts.length; ++i) {
          texts[i] = text(i);
        }
        yield Tensor.of(texts, shape);
      }
      case INT64, UINT64 -> Tensor.ofRaw(dtype, data.toArray(ValueLayout.JAVA_LONG), shape);
      case INT32, UINT32 -> Tensor.ofRaw(dtype, data.toArray(ValueLayout.JAVA_INT), shape);
      case INT16, UINT16, FLOAT16, BFLOAT16 ->
          Tensor.ofRaw(dtype, data.toArray(ValueLayout.JAVA_SHORT), shape);
      default -> Tensor.ofRaw(dtype, data.toArray(ValueLayout.JAVA_BYTE), shape);
    };
  }
}
