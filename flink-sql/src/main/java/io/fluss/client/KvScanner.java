package io.fluss.client;

import java.util.List;
import org.apache.flink.table.data.RowData;

/**
 * Reads all rows of one bucket of a primary-key table, in key order, as they were at {@link
 * #logOffset()}. Not thread-safe. A scan lives on one server and cannot be resumed: after an error
 * open a new one.
 */
public interface KvScanner extends AutoCloseable {
  /** The changelog offset of the state: changes from this offset on are not in it. */
  long logOffset();

  /**
   * Adds the next rows to {@code out}.
   *
   * @return false when there are none left; {@code out} is then unchanged
   */
  boolean next(List<RowData> out);

  /** Releases the scan on the server. */
  @Override
  void close();
}
