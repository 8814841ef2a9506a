package dev.sidecall;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Makes an answer of Java from the columns that a workspace has read. */
abstract class Writer {
  /** Returns the address of the indices of the columns to read; 0 for all. */
  abstract long columns();

  /** Returns the number of columns to read. */
  abstract int count();

  abstract Object write(Workspace w);

  /** Makes a map of outputs by their names. */
  static final class OfMap extends Writer {
    private record Output(String name, int first, List<String> keys, ColumnSpec spec) {}

    private final List<Output> outputs = new ArrayList<>();
    private final int count;

    OfMap(List<ColumnSpec> columns) {
      count = columns.size();
      Output last = null;
      for (int i = 0; i < count; ++i) {
        ColumnSpec column = columns.get(i);
        if (last == null || !last.name.equals(column.output())) {
          last = new Output(column.output(), i, new ArrayList<>(), column);
          outputs.add(last);
        }
        last.keys.add(column.key());
      }
    }

    @Override
    long columns() {
      return 0;
    }

    @Override
    int count() {
      return count;
    }

    @Override
    Object write(Workspace w) {
      Map<String, Object> answer = new LinkedHashMap<>();
      for (Output output : outputs) {
        answer.put(
            output.name,
            switch (output.spec.form()) {
              case SCALAR -> Values.any(w, output.first);
              case MEMBER -> Answers.map(output.first, output.keys, Object.class, w);
              case ELEMENT -> Answers.array(output.first, output.keys, output.spec.dtype(), w);
            });
      }
      return answer;
    }
  }
}
