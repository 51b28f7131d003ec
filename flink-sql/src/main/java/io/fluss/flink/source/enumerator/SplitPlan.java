package io.fluss.flink.source.enumerator;

import io.fluss.client.OffsetSpec;
import io.fluss.client.TableBucket;
import io.fluss.client.TableInfo;
import io.fluss.flink.source.OffsetsInitializer;
import io.fluss.flink.source.ScanSpec;
import io.fluss.flink.source.split.FlussSplit;
import io.fluss.flink.source.split.LogSplit;
import io.fluss.flink.source.split.QuerySplit;
import io.fluss.flink.source.split.ScanHistory;
import io.fluss.flink.source.split.SnapshotLogSplit;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import javax.annotation.Nullable;
import org.apache.flink.table.api.TableException;

/** Decides which splits a scan consists of: one per bucket, or what a query needs instead. */
final class SplitPlan {

  private final ScanSpec spec;
  private final TableInfo table;
  private final boolean scansState;
  private final Function<OffsetSpec, Map<Integer, Long>> offsets;

  /**
   * @param table the table, or one partition of it
   * @param scansState whether the server can scan the state of a primary-key table
   * @param offsets requests an offset of every bucket
   */
  SplitPlan(
      ScanSpec spec,
      TableInfo table,
      boolean scansState,
      Function<OffsetSpec, Map<Integer, Long>> offsets) {
    this.spec = spec;
    this.table = table;
    this.scansState = scansState;
    this.offsets = offsets;
  }

  List<FlussSplit> splits() {
    if (spec.query() != null) {
      int buckets = spec.query() == QuerySplit.Query.LIMIT ? table.bucketCount() : 1;
      return perBucket(buckets, b -> new QuerySplit(table.tableId(), bucket(b), spec.query()));
    }
    boolean full = spec.start().kind() == OffsetsInitializer.Kind.FULL;
    if (!table.hasPrimaryKey() || !full) {
      return logSplits();
    }
    if (scansState) {
      return perBucket(
          table.bucketCount(),
          b ->
              new SnapshotLogSplit(
                  table.tableId(),
                  bucket(b),
                  spec.isBounded(),
                  ScanHistory.empty(),
                  SnapshotLogSplit.NOT_STARTED));
    }
    if (spec.isBounded()) {
      throw new TableException(
          "The server cannot scan the state of primary-key table "
              + table.path()
              + ". Read it in streaming mode, by primary key, or with LIMIT.");
    }
    return changelogSplits();
  }

  /**
   * All of the changelog stands in for the state, as long as it still begins with the first change.
   */
  private List<FlussSplit> changelogSplits() {
    offsets
        .apply(OffsetSpec.earliest())
        .forEach(
            (bucket, earliest) -> {
              if (earliest > 0) {
                throw new TableException(
                    String.format(
                        "Primary-key table %s%s cannot be read in full: the server cannot scan its"
                            + " state, and the changelog of bucket %d begins at offset %d, so older"
                            + " rows are missing in it. Read it from 'scan.startup.mode' ="
                            + " 'earliest' if the changes that are left are enough, and give tables"
                            + " that are to be read in full a longer 'table.log.ttl'.",
                        table.path(),
                        table.partition() == null ? "" : "/" + table.partition().name(),
                        bucket,
                        earliest));
              }
            });
    // Not the earliest offset at the time of the first fetch: what is deleted until then must fail.
    return perBucket(
        table.bucketCount(), b -> new LogSplit(table.tableId(), bucket(b), 0, LogSplit.NO_STOP));
  }

  private List<FlussSplit> logSplits() {
    Map<Integer, Long> stops = spec.isBounded() ? offsets.apply(OffsetSpec.latest()) : null;
    Map<Integer, Long> starts = starts();
    return perBucket(
        table.bucketCount(),
        b ->
            new LogSplit(
                table.tableId(),
                bucket(b),
                starts == null ? LogSplit.EARLIEST : starts.get(b),
                stops == null ? LogSplit.NO_STOP : stops.get(b)));
  }

  /** Start offsets by bucket; null if a fetch is to find the earliest one. */
  @Nullable
  private Map<Integer, Long> starts() {
    switch (spec.start().kind()) {
      case LATEST:
        return offsets.apply(OffsetSpec.latest());
      case TIMESTAMP:
        return offsets.apply(OffsetSpec.timestamp(spec.start().timestampMs()));
      default:
        // A bounded split must know at once when it has nothing to read.
        return spec.isBounded() ? offsets.apply(OffsetSpec.earliest()) : null;
    }
  }

  private TableBucket bucket(int bucket) {
    return new TableBucket(table.partition(), bucket);
  }

  private static List<FlussSplit> perBucket(int buckets, Function<Integer, FlussSplit> split) {
    List<FlussSplit> splits = new ArrayList<>();
    for (int bucket = 0; bucket < buckets; bucket++) {
      splits.add(split.apply(bucket));
    }
    return splits;
  }

  /** All buckets of a table. */
  static List<Integer> buckets(TableInfo table) {
    return IntStream.range(0, table.bucketCount()).boxed().collect(Collectors.toList());
  }
}
