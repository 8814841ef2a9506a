package dev.sidecall;

import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;

/**
 * Readers and writers of one type of records. Each of them gets a hidden class that is a copy of
 * the class here, and in which the method handle is a constant: the compiler of the virtual machine
 * inlines method handles only if they are constants.
 */
final class Compiled {
  private Compiled() {}

  /** Makes a reader of a handle of type (Workspace, Object)void. */
  static Reader reader(MethodHandle read) {
    try {
      return (Reader) copy(OfRecord.class, read).invoke();
    } catch (Throwable e) {
      throw Native.rethrow(e);
    }
  }

  /** Makes a writer of a handle of type (Workspace)Object, which reads these columns. */
  static Writer writer(MethodHandle write, int[] columns) {
    try {
      return (Writer) copy(ToRecord.class, write, int[].class).invoke(columns);
    } catch (Throwable e) {
      throw Native.rethrow(e);
    }
  }

  private static MethodHandle copy(Class<?> template, MethodHandle handle, Class<?>... parameters)
      throws IOException, ReflectiveOperationException {
    String name = template.getName().substring(template.getPackageName().length() + 1) + ".class";
    try (InputStream code = template.getResourceAsStream(name)) {
      MethodHandles.Lookup lookup =
          MethodHandles.lookup()
              .defineHiddenClassWithClassData(code.readAllBytes(), handle, true);
      return lookup.findConstructor(
          lookup.lookupClass(), MethodType.methodType(void.class, parameters));
    }
  }

  /** The handle of a copy; null in the class that is copied. */
  static MethodHandle handleOf(MethodHandles.Lookup lookup) {
    try {
      return MethodHandles.classData(lookup, "_", MethodHandle.class);
    } catch (IllegalAccessException e) {
      throw new ExceptionInInitializerError(e);
    }
  }

  /** Reads a record of one type. */
  static final class OfRecord extends Reader {
    private static final MethodHandle READ = handleOf(MethodHandles.lookup());

    @Override
    void read(Workspace w, Object record, long row) {
      try {
        READ.invokeExact(w, record);
      } catch (Throwable e) {
        throw Native.rethrow(e);
      }
    }
  }

  /** Makes records of one type. */
  static final class ToRecord extends Writer {
    private static final MethodHandle WRITE = handleOf(MethodHandles.lookup());

    private final MemorySegment columns;
    private final int count;

    ToRecord(int[] columns) {
      count = columns.length;
      this.columns = Arena.ofAuto().allocate(ValueLayout.JAVA_INT, Math.max(count, 1));
      MemorySegment.copy(columns, 0, this.columns, ValueLayout.JAVA_INT, 0, count);
    }

    @Override
    long columns() {
      return columns.address();
    }

    @Override
    int count() {
      return count;
    }

    @Override
    Object write(Workspace w) {
      try {
        return (Object) WRITE.invokeExact(w);
      } catch (Throwable e) {
        throw Native.rethrow(e);
      }
    }
  }
}
