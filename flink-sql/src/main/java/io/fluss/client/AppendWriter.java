package io.fluss.client;

import java.io.IOException;
import org.apache.flink.table.data.RowData;

/** Appends rows to a log table. */
public interface AppendWriter extends TableWriter {
  /**
   * Adds one row with all columns of the table; it is copied before the call returns.
   *
   * @throws IOException when an earlier batch could not be written
   * @throws FlussException for a row that the table does not take (null in a NOT NULL column, too
   *     large)
   */
  void append(RowData row) throws IOException;
}
