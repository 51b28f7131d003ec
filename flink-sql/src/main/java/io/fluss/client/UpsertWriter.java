package io.fluss.client;

import java.io.IOException;
import org.apache.flink.table.data.RowData;

/**
 * Writes rows of a primary-key table. Rows have all columns of the table; a writer with target
 * columns reads only these (which include the key) and the server keeps the others.
 */
public interface UpsertWriter extends TableWriter {
  /**
   * Inserts the row or replaces the one with the same key. Errors as in {@link
   * AppendWriter#append}.
   */
  void upsert(RowData row) throws IOException;

  /** Deletes the row with the key of {@code row}; only the key columns are read. */
  void delete(RowData row) throws IOException;
}
