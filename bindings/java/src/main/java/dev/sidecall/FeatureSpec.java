package dev.sidecall;

/**
 * Describes one feature of the contract: a key of a record.
 *
 * @param name the name, as the user wrote it
 * @param dtype FLOAT32, FLOAT64, INT64, BOOL, STRING or DATETIME
 * @param isNullable whether the model accepts a missing value
 * @param unit of a datetime: what its tensor counts since 1970: "s", "ms", "us" or "ns"; otherwise
 *     ""
 * @param zone of a datetime: its time zone; "" for the time of the wall clock
 * @param epoch of a datetime: what a plain number counts since 1970 in UTC; "" if numbers are
 *     refused
 */
public record FeatureSpec(
    String name, Dtype dtype, boolean isNullable, String unit, String zone, String epoch) {
  static FeatureSpec of(long spec) {
    return new FeatureSpec(
        Memory.text(Memory.getLong(spec)),
        Dtype.of(Memory.getInt(spec + 8)),
        Memory.getInt(spec + 12) != 0,
        Memory.text(Memory.getLong(spec + 24)),
        Memory.text(Memory.getLong(spec + 32)),
        Memory.text(Memory.getLong(spec + 40)));
  }
}
