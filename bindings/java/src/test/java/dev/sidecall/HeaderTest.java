package dev.sidecall;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.lang.reflect.Field;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

/** Compares what is generated from the headers with the library and with enums. */
class HeaderTest {
  @Test
  void theConstantsOfAnEnumStandInTheOrderOfTheirNumbers() throws ReflectiveOperationException {
    List<Class<? extends Enum<?>>> enums =
        List.of(
            Options.Verify.class,
            Options.Extra.class,
            Options.Engine.class,
            ColumnSpec.Form.class);
    for (Class<? extends Enum<?>> type : enums) {
      Map<String, Integer> positions = new TreeMap<>();
      for (Enum<?> constant : type.getEnumConstants()) {
        positions.put(constant.name(), constant.ordinal());
      }
      String prefix = type.getSimpleName().toUpperCase(Locale.ROOT) + "_";
      Map<String, Integer> numbers = new TreeMap<>();
      for (Field field : Header.class.getDeclaredFields()) {
        if (field.getName().startsWith(prefix)) {
          numbers.put(field.getName().substring(prefix.length()), field.getInt(null));
        }
      }
      assertEquals(numbers, positions, type.getName());
    }
  }

  @Test
  @SuppressWarnings("restricted")
  void everyStructHasTheSizeThatItHasInTheLibrary() throws Throwable {
    MemorySegment function = Library.symbols().find("sidecall_struct_size").orElseThrow();
    MethodHandle structSize =
        Linker.nativeLinker()
            .downcallHandle(
                function, FunctionDescriptor.of(ValueLayout.JAVA_LONG, ValueLayout.ADDRESS));
    try (Arena arena = Arena.ofConfined()) {
      for (Class<?> struct : Header.class.getDeclaredClasses()) {
        String words = struct.getSimpleName().replaceAll("([A-Z])", "_$1");
        String name = "sidecall" + words.toLowerCase(Locale.ROOT);
        long size = (long) structSize.invokeExact(arena.allocateFrom(name));
        assertEquals(size, struct.getDeclaredField("SIZE").getInt(null), name);
      }
    }
  }

  @Test
  void theLibraryFillsTheOptionsAtTheOffsetsOfTheirFields() {
    long options = Native.allocate(Header.ModelOptions.SIZE);
    try {
      Native.modelOptionsInit(options, Header.ModelOptions.SIZE);
      assertEquals(
          Header.ModelOptions.SIZE, Memory.getInt(options + Header.ModelOptions.STRUCT_SIZE));
      assertEquals(-1, Memory.getLong(options + Header.ModelOptions.TIMEOUT_NS));
    } finally {
      Native.free(options);
    }
  }
}
