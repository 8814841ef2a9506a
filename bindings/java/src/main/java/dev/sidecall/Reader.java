package dev.sidecall;

import java.util.Map;
import java.util.TreeSet;

/** Writes a record to the values of a workspace. */
abstract class Reader {
  abstract void read(Workspace w, Object record, long row);

  /** Reads a record that is a map of features by their names. */
  static final class OfMap extends Reader {
    @Override
    void read(Workspace w, Object record, long row) {
      w.clearValues();
      TreeSet<String> unknown = null;
      for (Map.Entry<?, ?> entry : ((Map<?, ?>) record).entrySet()) {
        Integer feature = w.core.featureIndex.get(entry.getKey());
        if (feature == null) {
          // The order of faults must not change from run to run.
          unknown = unknown == null ? new TreeSet<>() : unknown;
          unknown.add(String.valueOf(entry.getKey()));
        } else {
          long at = w.values + (long) Header.Value.SIZE * feature;
          Values.putAny(w, at, entry.getValue(), w.core.features.get(feature));
        }
      }
      if (unknown != null) {
        for (String name : unknown) {
          w.isDirty = true;
          long text = w.copyText(name);
          Native.setUnknown(w.call, row, text, w.copiedBytes(), w.error);
        }
      }
    }
  }
}
