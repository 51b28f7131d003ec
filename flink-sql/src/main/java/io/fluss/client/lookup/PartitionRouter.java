package io.fluss.client.lookup;

import io.fluss.client.ErrorCode;
import io.fluss.client.FlussException;
import io.fluss.client.TableInfo;
import io.fluss.client.row.PartitionNames;
import io.fluss.client.rpc.ClientContext;
import io.fluss.client.rpc.Errors;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.function.BiFunction;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.utils.ProjectedRowData;
import org.apache.flink.table.types.logical.RowType;

/**
 * Sends each key to the partition that it names. In a partition that does not exist there is
 * nothing to find. Thread-safe.
 */
final class PartitionRouter {
  private final ClientContext context;
  private final TableInfo table;

  /** Null for a table without partitions. */
  private final PartitionNames names;

  /** Positions in the key rows of the columns that are no partition columns. */
  private final int[] keyFields;

  /**
   * @param keyColumns columns of the key rows, partition columns included, in order
   */
  PartitionRouter(ClientContext context, TableInfo table, List<String> keyColumns) {
    this.context = context;
    this.table = table;
    List<RowType.RowField> fields = new ArrayList<>();
    for (String column : keyColumns) {
      fields.add(table.rowType().getFields().get(table.rowType().getFieldIndex(column)));
    }
    int[] partitionFields = table.partitionKeys().stream().mapToInt(keyColumns::indexOf).toArray();
    this.names =
        table.isPartitioned() ? new PartitionNames(new RowType(fields), partitionFields) : null;
    this.keyFields =
        keyColumns.stream()
            .filter(column -> !table.partitionKeys().contains(column))
            .mapToInt(keyColumns::indexOf)
            .toArray();
  }

  /**
   * Looks a key up in its place.
   *
   * @param nothing the result when the partition does not exist
   * @param lookup takes the table or one partition of it, and the key without partition columns
   */
  <T> CompletableFuture<T> route(
      RowData key, T nothing, BiFunction<TableInfo, RowData, CompletableFuture<T>> lookup) {
    if (names == null) {
      return lookup.apply(table, key);
    }
    RowData withoutPartition = ProjectedRowData.from(keyFields).replaceRow(key);
    return inPartition(names.of(key), withoutPartition, nothing, lookup, true);
  }

  private <T> CompletableFuture<T> inPartition(
      String name,
      RowData key,
      T nothing,
      BiFunction<TableInfo, RowData, CompletableFuture<T>> lookup,
      boolean again) {
    return context
        .cluster()
        .partition(table, name)
        .thenCompose(partition -> lookup.apply(table.only(partition), key))
        .handle(
            (found, error) -> {
              if (error == null) {
                return CompletableFuture.completedFuture(found);
              }
              FlussException cause = Errors.unwrap(error);
              if (cause.code() != ErrorCode.PARTITION_NOT_EXISTS) {
                return CompletableFuture.<T>failedFuture(cause);
              }
              // A partition that was dropped and created again is found by the second try.
              return again
                  ? inPartition(name, key, nothing, lookup, false)
                  : CompletableFuture.completedFuture(nothing);
            })
        .thenCompose(next -> next);
  }
}
