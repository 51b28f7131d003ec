package io.fluss.client.log;

import org.apache.flink.table.data.RowData;

/** Gathers rows of one bucket into an append-only log batch. */
public interface LogBatchBuilder {
  /** Adds a row; one that cannot be written leaves the batch as it was. */
  void append(RowData row);

  int count();

  /** Uncompressed size of the rows so far. */
  long sizeBytes();

  /** Drops the last row, or (count 0) all rows. */
  void truncate(int count);

  /** The batch, to be completed by {@link LogBatchHeader#stamp}; the builder starts anew. */
  byte[] buildAndReset();
}
