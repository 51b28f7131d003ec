package io.fluss.client.write;

import io.fluss.client.TableInfo;
import io.fluss.client.UpsertWriter;
import io.fluss.client.row.Buckets;
import io.fluss.client.row.ByteOutput;
import io.fluss.client.row.KeyWriter;
import io.fluss.client.row.KvBatchBuilder;
import io.fluss.client.row.RowEncoder;
import io.fluss.client.row.RowFormat;
import io.fluss.client.rpc.ClientContext;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.flink.table.data.RowData;

/**
 * Upsert writer: rows go to the bucket of their bucket key, in the order in which they were
 * written.
 */
public final class BatchingUpsertWriter extends BatchingWriter<KvBatchBuilder>
    implements UpsertWriter {
  private static final int INITIAL_BATCH_BYTES = 16 * 1024;

  private final TableInfo table;
  private final RowEncoder encoder;
  private final KeyWriter primaryKey;
  private final ByteOutput key = new ByteOutput(64);

  /** Null when the bucket key is the primary key. */
  private final KeyWriter bucketKey;

  private final ByteOutput bucketKeyBytes = new ByteOutput(64);

  /** Which columns are written; null for all. */
  private final boolean[] columns;

  /** {@code targetColumns} null: full rows. */
  public BatchingUpsertWriter(ClientContext context, TableInfo table, int[] targetColumns) {
    super(context, table, new BatchTarget.Kv(table, targetColumns));
    this.table = table;
    this.encoder =
        RowEncoder.of(
            RowFormat.of(table.properties().getOrDefault("table.kv.format", "COMPACTED")),
            table.rowType());
    this.primaryKey = new KeyWriter(table.rowType(), table.physicalPrimaryKeyIndexes());
    this.bucketKey =
        table.bucketKey().equals(table.physicalPrimaryKey())
            ? null
            : new KeyWriter(table.rowType(), table.bucketKeyIndexes());
    this.columns = targetColumns == null ? null : mask(table, targetColumns);
  }

  /**
   * Checks target columns of a partial update.
   *
   * @throws IllegalArgumentException when key columns are missing, or others that may not be null
   */
  public static void checkTargetColumns(TableInfo table, int[] targetColumns) {
    boolean[] mask = mask(table, targetColumns);
    List<String> missing = new ArrayList<>();
    for (int i = 0; i < mask.length; i++) {
      if (!mask[i] && !table.rowType().getTypeAt(i).isNullable()) {
        missing.add(table.rowType().getFieldNames().get(i));
      }
    }
    if (!missing.isEmpty()) {
      throw new IllegalArgumentException(
          "A partial update of "
              + table.path()
              + " must write its key and NOT NULL columns; missing: "
              + missing);
    }
  }

  private static boolean[] mask(TableInfo table, int[] targetColumns) {
    boolean[] mask = new boolean[table.rowType().getFieldCount()];
    for (int column : targetColumns) {
      if (column < 0 || column >= mask.length || mask[column]) {
        throw new IllegalArgumentException(
            "target columns must be different columns of the table: "
                + Arrays.toString(targetColumns));
      }
      mask[column] = true;
    }
    return mask;
  }

  @Override
  public void upsert(RowData row) throws IOException {
    write(row, false);
  }

  @Override
  public void delete(RowData row) throws IOException {
    if (!table.autoIncrement().isEmpty()) {
      throw new IllegalArgumentException(
          "Rows of "
              + table.path()
              + " cannot be deleted: a write leaves out the auto-increment column "
              + table.autoIncrement()
              + ", and what a delete leaves out stays");
    }
    write(row, true);
  }

  @Override
  KvBatchBuilder newBuffer() {
    return new KvBatchBuilder(table.schemaId(), INITIAL_BATCH_BYTES);
  }

  @Override
  int route(RowData row) {
    key.clear();
    primaryKey.write(row, key);
    if (bucketKey == null) {
      return Buckets.bucketOf(key.array(), 0, key.size(), table.bucketCount());
    }
    bucketKeyBytes.clear();
    bucketKey.write(row, bucketKeyBytes);
    return Buckets.bucketOf(bucketKeyBytes.array(), 0, bucketKeyBytes.size(), table.bucketCount());
  }

  @Override
  void add(KvBatchBuilder buffer, RowData row, boolean delete) {
    if (delete) {
      buffer.delete(key.array(), key.size());
    } else {
      buffer.put(key.array(), key.size(), encoder, row, columns);
    }
  }
}
