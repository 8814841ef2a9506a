package dev.sidecall;

import java.util.List;

/**
 * Describes one value that the model returns for each row.
 *
 * @param name the name, such as "label" or "probabilities.fraud"
 * @param output the output tensor that it belongs to, such as "probabilities"
 * @param key the class ("fraud") or the position ("0"); "" for a scalar
 * @param dtype the type of the value
 * @param form where the value stands in the answer to a record
 */
public record ColumnSpec(String name, String output, String key, Dtype dtype, Form form) {
  /** Where the value of a column stands in the answer to a record. */
  public enum Form {
    /** As in <code>{"label": value}</code>. */
    SCALAR,
    /** As in <code>{"probabilities": {key: value}}</code>. */
    MEMBER,
    /** As in <code>{"prediction": [value]}</code>. */
    ELEMENT
  }

  static ColumnSpec of(long spec, List<TensorSpec> outputs) {
    return new ColumnSpec(
        Memory.text(Memory.getLong(spec + Header.ColumnSpec.NAME)),
        outputs.get(Memory.getInt(spec + Header.ColumnSpec.OUTPUT)).name(),
        Memory.text(Memory.getLong(spec + Header.ColumnSpec.KEY)),
        Dtype.of(Memory.getInt(spec + Header.ColumnSpec.DTYPE)),
        Form.values()[Memory.getInt(spec + Header.ColumnSpec.FORM)]);
  }
}
