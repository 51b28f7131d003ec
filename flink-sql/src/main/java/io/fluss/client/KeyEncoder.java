package io.fluss.client;

import io.fluss.client.row.ByteOutput;
import io.fluss.client.row.KeyWriter;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.RowType;

/**
 * Key columns of a row to key bytes; the unsigned byte order of the result is the order of a
 * key-value scan. Not thread-safe.
 */
public final class KeyEncoder {
  private final KeyWriter writer;
  private final ByteOutput scratch = new ByteOutput(64);

  private KeyEncoder(RowType rowType, int[] keyIndexes) {
    writer = new KeyWriter(rowType, keyIndexes);
  }

  /** Encoder of the physical primary key of full rows of a table. */
  public static KeyEncoder primaryKey(TableInfo table) {
    return new KeyEncoder(table.rowType(), table.physicalPrimaryKeyIndexes());
  }

  /** Encoder of chosen columns of rows of {@code rowType}, in the given order. */
  public static KeyEncoder of(RowType rowType, int[] keyIndexes) {
    return new KeyEncoder(rowType, keyIndexes);
  }

  /**
   * The key bytes of a row.
   *
   * @throws IllegalArgumentException for null in a key column
   */
  public byte[] encode(RowData row) {
    scratch.clear();
    writer.write(row, scratch);
    return scratch.toByteArray();
  }
}
