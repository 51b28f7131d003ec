package io.fluss.client;

import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.apache.flink.table.data.RowData;

/**
 * Finds rows by bucket key, where the bucket key is the leading part of the primary key. Threads
 * and futures as in {@link Lookuper}.
 */
public interface PrefixLookuper extends AutoCloseable {
  /**
   * All rows with these bucket key values, in key order.
   *
   * @param bucketKeyRow the bucket key columns, followed by the partition columns ({@link
   *     TableInfo#prefixKey()})
   */
  CompletableFuture<List<RowData>> lookup(RowData bucketKeyRow);

  @Override
  void close();
}
