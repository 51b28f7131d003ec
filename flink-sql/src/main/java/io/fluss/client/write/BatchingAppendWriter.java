package io.fluss.client.write;

import io.fluss.client.AppendWriter;
import io.fluss.client.TableInfo;
import io.fluss.client.arrow.Compression;
import io.fluss.client.log.ArrowLogBatchBuilder;
import io.fluss.client.log.LogBatchBuilder;
import io.fluss.client.log.LogFormat;
import io.fluss.client.log.RowLogBatchBuilder;
import io.fluss.client.row.Buckets;
import io.fluss.client.row.ByteOutput;
import io.fluss.client.row.KeyWriter;
import io.fluss.client.rpc.ClientContext;
import java.io.IOException;
import java.util.concurrent.ThreadLocalRandom;
import org.apache.flink.table.data.RowData;

/**
 * Append writer. Rows of a table with a bucket key go to the bucket of their key; others to one
 * bucket until its batch is sent and then to the next, or to each, round robin ({@code
 * client.writer.bucket.no-key-assigner}).
 */
public final class BatchingAppendWriter extends BatchingWriter<LogBatchBuilder>
    implements AppendWriter {
  private final TableInfo table;
  private final LogFormat format;
  private final boolean roundRobin;

  /** Null without a bucket key. */
  private final KeyWriter bucketKey;

  private final ByteOutput key = new ByteOutput(64);
  private int nextBucket;

  public BatchingAppendWriter(ClientContext context, TableInfo table) {
    super(context, table, new BatchTarget.Log(table));
    this.table = table;
    this.format = LogFormat.of(table.properties().get("table.log.format"));
    this.roundRobin = context.options().roundRobin();
    this.bucketKey =
        table.bucketKey().isEmpty()
            ? null
            : new KeyWriter(table.rowType(), table.bucketKeyIndexes());
    this.nextBucket = ThreadLocalRandom.current().nextInt(table.bucketCount());
  }

  @Override
  public void append(RowData row) throws IOException {
    write(row, false);
  }

  @Override
  LogBatchBuilder newBuffer() {
    return format == LogFormat.ARROW
        ? new ArrowLogBatchBuilder(
            table.schemaId(),
            table.rowType(),
            Compression.of(table.properties().get("table.log.arrow.compression.type")))
        : new RowLogBatchBuilder(table.schemaId(), table.rowType(), format.rowFormat());
  }

  @Override
  int route(RowData row) {
    if (bucketKey != null) {
      key.clear();
      bucketKey.write(row, key);
      return Buckets.bucketOf(key.array(), 0, key.size(), table.bucketCount());
    }
    int bucket = nextBucket;
    if (roundRobin) {
      nextBucket = (bucket + 1) % table.bucketCount();
    }
    return bucket;
  }

  @Override
  void onBatchClosed(int bucket) {
    if (bucketKey == null && !roundRobin) {
      nextBucket = (bucket + 1) % table.bucketCount();
    }
  }

  @Override
  void add(LogBatchBuilder buffer, RowData row, boolean delete) {
    buffer.append(row);
  }
}
