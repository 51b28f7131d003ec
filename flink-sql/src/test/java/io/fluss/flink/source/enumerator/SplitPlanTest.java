package io.fluss.flink.source.enumerator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fluss.client.ClientOptions;
import io.fluss.client.OffsetSpec;
import io.fluss.client.PartitionInfo;
import io.fluss.client.TableBucket;
import io.fluss.client.TableInfo;
import io.fluss.flink.Tables;
import io.fluss.flink.source.OffsetsInitializer;
import io.fluss.flink.source.ScanSpec;
import io.fluss.flink.source.split.FlussSplit;
import io.fluss.flink.source.split.LogSplit;
import io.fluss.flink.source.split.QuerySplit;
import io.fluss.flink.source.split.SnapshotLogSplit;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.apache.flink.table.api.TableException;
import org.junit.jupiter.api.Test;

class SplitPlanTest {

  private static final TableInfo LOG = Tables.logTable(2);
  private static final TableInfo PRIMARY_KEY = Tables.primaryKeyTable(2);

  private static ScanSpec spec(OffsetsInitializer start, boolean bounded) {
    return ScanSpec.scan(
        ClientOptions.fromMap(Map.of("bootstrap.servers", "localhost:1")),
        Tables.PATH,
        Tables.ROW_TYPE,
        start,
        bounded);
  }

  private static List<FlussSplit> plan(ScanSpec spec, TableInfo table, boolean scansState) {
    return new SplitPlan(spec, table, scansState, SplitPlanTest::offsets).splits();
  }

  /** Bucket 0 holds offsets 3 to 10, bucket 1 is empty; time 50 is offset 5 or the end. */
  private static Map<Integer, Long> offsets(OffsetSpec spec) {
    switch (spec.type()) {
      case 0:
        return Map.of(0, 3L, 1, 0L);
      case 1:
        return Map.of(0, 11L, 1, 0L);
      default:
        assertEquals(50, spec.timestamp());
        return Map.of(0, 5L, 1, 0L);
    }
  }

  private static LogSplit log(int bucket, long start, long stop) {
    return new LogSplit(Tables.TABLE_ID, bucket, start, stop);
  }

  @Test
  void streamOfLogTable() {
    List<FlussSplit> fromEarliest =
        Arrays.asList(
            log(0, LogSplit.EARLIEST, LogSplit.NO_STOP),
            log(1, LogSplit.EARLIEST, LogSplit.NO_STOP));
    assertEquals(fromEarliest, plan(spec(OffsetsInitializer.full(), false), LOG, true));
    assertEquals(fromEarliest, plan(spec(OffsetsInitializer.earliest(), false), LOG, true));
    assertEquals(
        Arrays.asList(log(0, 11, LogSplit.NO_STOP), log(1, 0, LogSplit.NO_STOP)),
        plan(spec(OffsetsInitializer.latest(), false), LOG, true));
    assertEquals(
        Arrays.asList(log(0, 5, LogSplit.NO_STOP), log(1, 0, LogSplit.NO_STOP)),
        plan(spec(OffsetsInitializer.timestamp(50), false), LOG, true));
  }

  @Test
  void boundedLogTable() {
    assertEquals(
        Arrays.asList(log(0, 3, 11), log(1, 0, 0)),
        plan(spec(OffsetsInitializer.full(), true), LOG, true));
    assertEquals(
        Arrays.asList(log(0, 5, 11), log(1, 0, 0)),
        plan(spec(OffsetsInitializer.timestamp(50), true), LOG, true));
  }

  @Test
  void primaryKeyTable() {
    assertEquals(
        Arrays.asList(
            new SnapshotLogSplit(Tables.TABLE_ID, 0, false),
            new SnapshotLogSplit(Tables.TABLE_ID, 1, false)),
        plan(spec(OffsetsInitializer.full(), false), PRIMARY_KEY, true));
    assertEquals(
        Arrays.asList(
            new SnapshotLogSplit(Tables.TABLE_ID, 0, true),
            new SnapshotLogSplit(Tables.TABLE_ID, 1, true)),
        plan(spec(OffsetsInitializer.full(), true), PRIMARY_KEY, true));
    assertEquals(
        log(0, 11, LogSplit.NO_STOP),
        plan(spec(OffsetsInitializer.latest(), false), PRIMARY_KEY, true).get(0));
  }

  @Test
  void primaryKeyTableOfServerThatCannotScanState() {
    assertEquals(
        Arrays.asList(log(0, 0, LogSplit.NO_STOP), log(1, 0, LogSplit.NO_STOP)),
        new SplitPlan(
                spec(OffsetsInitializer.full(), false),
                PRIMARY_KEY,
                false,
                offset -> Map.of(0, 0L, 1, 0L))
            .splits());
    assertThrows(
        TableException.class,
        () -> plan(spec(OffsetsInitializer.full(), true), PRIMARY_KEY, false));
  }

  @Test
  void stateThatTheChangelogNoLongerHoldsIsNotReadFromIt() {
    TableException e =
        assertThrows(
            TableException.class,
            () -> plan(spec(OffsetsInitializer.full(), false), PRIMARY_KEY, false));
    assertTrue(
        e.getMessage().contains("the changelog of bucket 0 begins at offset 3"), e.getMessage());
    assertEquals(
        log(0, LogSplit.EARLIEST, LogSplit.NO_STOP),
        plan(spec(OffsetsInitializer.earliest(), false), PRIMARY_KEY, false).get(0));
  }

  @Test
  void queries() {
    ScanSpec bounded = spec(OffsetsInitializer.full(), true);
    assertEquals(
        Arrays.asList(
            new QuerySplit(Tables.TABLE_ID, 0, QuerySplit.Query.LIMIT),
            new QuerySplit(Tables.TABLE_ID, 1, QuerySplit.Query.LIMIT)),
        plan(bounded.limitedTo(5), LOG, true));
    assertEquals(
        Arrays.asList(new QuerySplit(Tables.TABLE_ID, 0, QuerySplit.Query.COUNT)),
        plan(bounded.counting(), LOG, true));
    assertEquals(
        Arrays.asList(new QuerySplit(Tables.TABLE_ID, 0, QuerySplit.Query.LOOKUP)),
        plan(bounded.lookingUp(new Object[] {1L}), PRIMARY_KEY, true));
  }

  @Test
  void onePartition() {
    PartitionInfo partition = new PartitionInfo(5, "a");
    TableBucket first = new TableBucket(partition, 0);
    List<FlussSplit> splits =
        plan(spec(OffsetsInitializer.full(), true), LOG.only(partition), true);

    assertEquals(new LogSplit(Tables.TABLE_ID, first, 3, 11), splits.get(0));
    assertEquals(partition, splits.get(1).bucket().partition());
    splits = plan(spec(OffsetsInitializer.full(), false), PRIMARY_KEY.only(partition), true);
    assertEquals(first, splits.get(0).bucket());
  }

  @Test
  void partitionsThatAreNewerThanTheScanAreReadFromTheirBeginning() {
    ScanSpec latest = spec(OffsetsInitializer.latest(), false).discovering(100);

    assertEquals(100, latest.discoveryIntervalMs());
    assertEquals(OffsetsInitializer.Kind.EARLIEST, latest.fromTheBeginning().start().kind());
    ScanSpec full = spec(OffsetsInitializer.full(), false);
    assertEquals(OffsetsInitializer.Kind.FULL, full.fromTheBeginning().start().kind());
  }
}
