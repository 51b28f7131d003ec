package io.fluss.client.row;

import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.RowType;

/**
 * Key bytes: the CompactedRow encodings of the key columns in key order, without null bits and
 * total length. Not thread-safe.
 */
public final class KeyWriter {
  private final int[] fields;
  private final String[] names;
  private final FieldWriter[] writers;

  /** Of chosen fields of rows of {@code rowType}, in the given order. */
  public KeyWriter(RowType rowType, int[] fields) {
    this.fields = fields.clone();
    this.names = new String[fields.length];
    this.writers = new FieldWriter[fields.length];
    for (int i = 0; i < fields.length; i++) {
      names[i] = rowType.getFieldNames().get(fields[i]);
      writers[i] = FieldWriter.compacted(rowType.getTypeAt(fields[i]));
    }
  }

  /** Appends the key of {@code row}. */
  public void write(RowData row, ByteOutput out) {
    for (int i = 0; i < fields.length; i++) {
      if (row.isNullAt(fields[i])) {
        throw new IllegalArgumentException(
            "Key column '" + names[i] + "' has null; key columns take no null");
      }
      writers[i].write(row, fields[i], out);
    }
  }
}
