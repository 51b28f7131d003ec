package io.fluss.client;

import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.RowType;

/** Key columns of a row to key bytes; unsigned byte order of the result is the order of a key-value scan. */
public final class KeyEncoder {
  private KeyEncoder() {}

  /** Encoder of the physical primary key of full rows of a table. */
  public static KeyEncoder primaryKey(TableInfo table) {
    throw new UnsupportedOperationException();
  }

  /** Encoder of chosen columns of rows of {@code rowType}, in the given order. */
  public static KeyEncoder of(RowType rowType, int[] keyIndexes) {
    throw new UnsupportedOperationException();
  }

  /** The key bytes of a row. */
  public byte[] encode(RowData row) {
    throw new UnsupportedOperationException();
  }
}
