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
        Memory.text(Memory.getLong(spec + Header.FeatureSpec.NAME)),
        Dtype.of(Memory.getInt(spec + Header.FeatureSpec.DTYPE)),
        Memory.getInt(spec + Header.FeatureSpec.NULLABLE) != 0,
        Memory.text(Memory.getLong(spec + Header.FeatureSpec.UNIT)),
        Memory.text(Memory.getLong(spec + Header.FeatureSpec.ZONE)),
        Memory.text(Memory.getLong(spec + Header.FeatureSpec.EPOCH)));
  }
}
