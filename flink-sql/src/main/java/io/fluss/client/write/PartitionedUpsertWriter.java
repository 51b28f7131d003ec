package io.fluss.client.write;

import io.fluss.client.TableInfo;
import io.fluss.client.UpsertWriter;
import io.fluss.client.rpc.ClientContext;
import java.io.IOException;
import java.util.function.Function;
import javax.annotation.Nullable;
import org.apache.flink.table.data.RowData;

/** Upsert writer of a partitioned primary-key table. */
public final class PartitionedUpsertWriter extends PartitionedWriter<BatchingUpsertWriter>
    implements UpsertWriter {
  private final ClientContext context;
  @Nullable private final int[] targetColumns;

  /**
   * @param partitions opens a partition by its name, and creates it if that is wanted
   * @param targetColumns null: full rows
   */
  public PartitionedUpsertWriter(
      ClientContext context,
      TableInfo table,
      Function<String, TableInfo> partitions,
      @Nullable int[] targetColumns) {
    super(table, partitions);
    this.context = context;
    this.targetColumns = targetColumns;
  }

  @Override
  BatchingUpsertWriter open(TableInfo partition) {
    return new BatchingUpsertWriter(context, partition, targetColumns);
  }

  @Override
  public synchronized void upsert(RowData row) throws IOException {
    writerOf(row).upsert(row);
  }

  @Override
  public synchronized void delete(RowData row) throws IOException {
    writerOf(row).delete(row);
  }
}
