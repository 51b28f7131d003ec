package io.fluss.client;

import java.util.concurrent.CompletableFuture;
import org.apache.flink.table.data.RowData;

/**
 * Finds rows by primary key. Thread-safe; keys that arrive while a request to the same server is
 * under way are sent together in the next one, and nothing ever waits for a request to fill.
 *
 * <p>Futures complete on the client's network thread: what is chained to them must not block and
 * must not call a blocking method of the client.
 */
public interface Lookuper extends AutoCloseable {
  /**
   * The row with this key, with all columns of the table, or null.
   *
   * @param keyRow the primary key columns in key order ({@link TableInfo#primaryKey()})
   */
  CompletableFuture<RowData> lookup(RowData keyRow);

  /** Fails the lookups that are still waiting. */
  @Override
  void close();
}
