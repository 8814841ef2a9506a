package dev.sidecall;

import java.util.ArrayList;
import java.util.List;

/**
 * Describes one input or output of the graph.
 *
 * @param name the name
 * @param dtype the type of the elements
 * @param shape the sizes; -1 for a free dimension
 * @param dimNames the names of the dimensions; "" for one without a name
 * @param hasRows whether the first dimension is the number of rows
 */
public record TensorSpec(
    String name, Dtype dtype, List<Long> shape, List<String> dimNames, boolean hasRows) {
  static TensorSpec of(long spec) {
    long dims = Memory.getLong(spec + Header.TensorSpec.DIMS);
    long names = Memory.getLong(spec + Header.TensorSpec.DIM_NAMES);
    int rank = Memory.getInt(spec + Header.TensorSpec.RANK);
    List<Long> shape = new ArrayList<>();
    List<String> dimNames = new ArrayList<>();
    for (int i = 0; i < rank; ++i) {
      shape.add(Memory.getLong(dims + 8L * i));
      dimNames.add(Memory.text(Memory.getLong(names + 8L * i)));
    }
    return new TensorSpec(
        Memory.text(Memory.getLong(spec + Header.TensorSpec.NAME)),
        Dtype.of(Memory.getInt(spec + Header.TensorSpec.DTYPE)),
        List.copyOf(shape),
        List.copyOf(dimNames),
        Memory.getInt(spec + Header.TensorSpec.HAS_ROWS) != 0);
  }
}
