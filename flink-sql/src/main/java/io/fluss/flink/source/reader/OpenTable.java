package io.fluss.flink.source.reader;

import io.fluss.client.KeyEncoder;
import io.fluss.client.LogScanner;
import io.fluss.client.TableBucket;
import io.fluss.client.TableInfo;
import io.fluss.flink.row.RowConverter;
import io.fluss.flink.source.OffsetsInitializer;
import io.fluss.flink.source.ScanSpec;
import io.fluss.flink.source.split.QuerySplit.Query;
import io.fluss.flink.source.split.SnapshotLogSplit;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.function.UnaryOperator;
import javax.annotation.Nullable;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.LogicalType;

/**
 * The table of a scan as it is now, with what it takes to get the wanted columns out of its rows.
 */
final class OpenTable implements AutoCloseable {

  private final ScanSpec spec;
  private final TableAccess access;
  private final TableInfo info;

  private final UnaryOperator<RowData> projectFull;
  private final UnaryOperator<RowData> projectLog;
  @Nullable private final int[] fetchedFields;
  @Nullable private final KeyEncoder readKeyEncoder;
  @Nullable private final KeyEncoder emittedKeyEncoder;
  @Nullable private final KeyEncoder logKeyEncoder;

  OpenTable(ScanSpec spec, TableAccess access) {
    this.spec = spec;
    this.access = access;
    this.info = access.table();
    // A count returns a column that no table has.
    boolean counts = spec.query() == Query.COUNT;
    ScanSchema schema = ScanSchema.resolve(info, counts ? info.rowType() : spec.producedType());
    int[] keyFields = info.physicalPrimaryKeyIndexes();
    // A changelog that follows the state is compared with it by key, so the key is fetched as well.
    boolean followsState =
        info.hasPrimaryKey() && spec.start().kind() == OffsetsInitializer.Kind.FULL;
    projectFull = schema.projectFull();
    fetchedFields = isColumnar(info) ? schema.fetched(followsState ? keyFields : new int[0]) : null;
    projectLog = schema.projectFetched(fetchedFields);
    logKeyEncoder =
        followsState
            ? KeyEncoder.of(
                schema.fetchedType(fetchedFields), ScanSchema.positions(keyFields, fetchedFields))
            : null;
    // Two, because the task thread encodes keys of rows it emitted while the fetcher reads on.
    readKeyEncoder = info.hasPrimaryKey() ? KeyEncoder.primaryKey(info) : null;
    emittedKeyEncoder = info.hasPrimaryKey() ? KeyEncoder.primaryKey(info) : null;
  }

  private static boolean isColumnar(TableInfo info) {
    return "ARROW".equalsIgnoreCase(info.properties().getOrDefault("table.log.format", "ARROW"));
  }

  TableInfo info() {
    return info;
  }

  /** The wanted columns out of a row with all columns. */
  UnaryOperator<RowData> projectFull() {
    return projectFull;
  }

  /** The wanted columns out of a row of the log. */
  UnaryOperator<RowData> projectLog() {
    return projectLog;
  }

  /** Key of a row with all columns, for the task thread. */
  @Nullable
  KeyEncoder emittedKeyEncoder() {
    return emittedKeyEncoder;
  }

  /** Key of a row of the log, null if no state was read before it. */
  @Nullable
  KeyEncoder logKeyEncoder() {
    return logKeyEncoder;
  }

  LogScanner newLogScanner() {
    return access.newLogScanner(fetchedFields);
  }

  StateRead newStateRead(SnapshotLogSplit split) {
    return new StateRead(split, () -> access.newKvScanner(split.bucket()), readKeyEncoder);
  }

  /** Asks instead of scanning. */
  List<RowData> result(Query query, TableBucket bucket) throws IOException {
    switch (query) {
      case LIMIT:
        List<RowData> rows = new ArrayList<>();
        for (RowData row : access.limitScan(bucket, (int) spec.limit())) {
          rows.add(projectFull.apply(row));
        }
        return rows;
      case LOOKUP:
        RowData found = access.lookup(internalKey());
        return found == null
            ? Collections.emptyList()
            : Collections.singletonList(projectFull.apply(found));
      default:
        return Collections.singletonList(GenericRowData.of(access.rowCount()));
    }
  }

  private RowData internalKey() {
    Object[] key = spec.key();
    int[] fields = info.primaryKeyIndexes();
    GenericRowData row = new GenericRowData(fields.length);
    for (int i = 0; i < fields.length; i++) {
      LogicalType type = info.rowType().getTypeAt(fields[i]);
      row.setField(i, RowConverter.toInternal(type).convert(key[i]));
    }
    return row;
  }

  @Override
  public void close() {
    access.close();
  }
}
