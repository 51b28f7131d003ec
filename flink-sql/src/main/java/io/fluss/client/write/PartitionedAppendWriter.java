package io.fluss.client.write;

import io.fluss.client.AppendWriter;
import io.fluss.client.TableInfo;
import io.fluss.client.rpc.ClientContext;
import java.io.IOException;
import java.util.function.Function;
import org.apache.flink.table.data.RowData;

/** Append writer of a partitioned log table. */
public final class PartitionedAppendWriter extends PartitionedWriter<BatchingAppendWriter>
    implements AppendWriter {
  private final ClientContext context;

  /**
   * @param partitions opens a partition by its name, and creates it if that is wanted
   */
  public PartitionedAppendWriter(
      ClientContext context, TableInfo table, Function<String, TableInfo> partitions) {
    super(table, partitions);
    this.context = context;
  }

  @Override
  BatchingAppendWriter open(TableInfo partition) {
    return new BatchingAppendWriter(context, partition);
  }

  @Override
  public synchronized void append(RowData row) throws IOException {
    writerOf(row).append(row);
  }
}
