package io.fluss.client.log;

import io.fluss.client.row.BatchBuffer;
import org.apache.flink.table.data.RowData;

/**
 * Gathers rows of one bucket into an append-only log batch, to be completed by {@link
 * LogBatchHeader#stamp}.
 */
public interface LogBatchBuilder extends BatchBuffer {
  /** Adds a row; one that cannot be written leaves the batch as it was. */
  void append(RowData row);
}
