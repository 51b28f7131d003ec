package io.fluss.flink.source.reader;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fluss.client.ClientOptions;
import io.fluss.client.TableBucket;
import io.fluss.client.TableInfo;
import io.fluss.flink.Tables;
import io.fluss.flink.source.OffsetsInitializer;
import io.fluss.flink.source.ScanSpec;
import io.fluss.flink.source.split.FlussSplit;
import io.fluss.flink.source.split.LogSplit;
import io.fluss.flink.source.split.QuerySplit;
import io.fluss.flink.source.split.SnapshotLogSplit;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.flink.connector.base.source.reader.RecordsWithSplitIds;
import org.apache.flink.connector.base.source.reader.splitreader.SplitsAddition;
import org.apache.flink.metrics.groups.UnregisteredMetricsGroup;
import org.apache.flink.table.api.TableException;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.types.logical.BigIntType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.types.RowKind;
import org.junit.jupiter.api.Test;

class FlussSplitReaderTest {

  private final List<RowData> rows = new ArrayList<>();
  private final Set<String> finished = new TreeSet<>();

  private static ScanSpec spec(RowType producedType, boolean bounded) {
    return ScanSpec.scan(
        ClientOptions.fromMap(Map.of("bootstrap.servers", "localhost:1")),
        Tables.PATH,
        producedType,
        OffsetsInitializer.full(),
        bounded);
  }

  private static FakeTable table(TableInfo info) {
    return new FakeTable(info, new Random(1));
  }

  private static RowData row(long id) {
    return GenericRowData.of(id, StringData.fromString("v" + id), (int) id * 10);
  }

  private static FlussSplitReader reader(FakeTable table, ScanSpec spec, FlussSplit... splits) {
    FlussSplitReader reader =
        new FlussSplitReader(
            spec,
            () -> table,
            new ReaderMetrics(UnregisteredMetricsGroup.createSourceReaderMetricGroup()));
    reader.handleSplitsChanges(new SplitsAddition<>(Arrays.asList(splits)));
    return reader;
  }

  /** Fetches until all splits are finished, or {@code fetches} times. */
  private void fetch(FlussSplitReader reader, int splits, int fetches) throws IOException {
    for (int i = 0; i < fetches && finished.size() < splits; i++) {
      RecordsWithSplitIds<ScanRecord> records = reader.fetch();
      while (records.nextSplit() != null) {
        for (ScanRecord r = records.nextRecordFromSplit();
            r != null;
            r = records.nextRecordFromSplit()) {
          rows.add(r.row());
        }
      }
      finished.addAll(records.finishedSplits());
    }
  }

  private List<Long> ids() {
    List<Long> ids = new ArrayList<>();
    rows.forEach(row -> ids.add(row.getLong(0)));
    Collections.sort(ids);
    return ids;
  }

  @Test
  void boundedLogEndsAtItsStopOffset() throws IOException {
    FakeTable table = table(Tables.logTable(2));
    for (long id = 0; id < 20; id++) {
      table.append(0, row(id));
    }
    table.skipOffset(0);

    FlussSplitReader reader =
        reader(
            table,
            spec(Tables.ROW_TYPE, true),
            new LogSplit(Tables.TABLE_ID, 0, 3, 7),
            new LogSplit(Tables.TABLE_ID, 1, 0, 0));
    fetch(reader, 2, 100);

    assertEquals(Arrays.asList(3L, 4L, 5L, 6L), ids());
    assertEquals(Set.of("log-7-0", "log-7-1"), finished);
  }

  @Test
  void boundedLogEndsBehindBatchesWithoutRecords() throws IOException {
    FakeTable table = table(Tables.logTable(1));
    table.append(0, row(1));
    table.skipOffset(0);
    table.skipOffset(0);

    fetch(
        reader(table, spec(Tables.ROW_TYPE, true), new LogSplit(Tables.TABLE_ID, 0, 0, 3)), 1, 100);

    assertEquals(Arrays.asList(1L), ids());
    assertEquals(Set.of("log-7-0"), finished);
  }

  @Test
  void boundedStateEndsWithTheState() throws IOException {
    FakeTable table = table(Tables.primaryKeyTable(2));
    for (long id = 0; id < 10; id++) {
      table.upsert((int) id % 2, row(id));
    }

    fetch(
        reader(
            table,
            spec(Tables.ROW_TYPE, true),
            new SnapshotLogSplit(Tables.TABLE_ID, 0, true),
            new SnapshotLogSplit(Tables.TABLE_ID, 1, true)),
        2,
        100);

    assertEquals(10, ids().size());
    assertEquals(Set.of("snapshot-log-7-0", "snapshot-log-7-1"), finished);
    assertTrue(rows.stream().allMatch(row -> row.getRowKind() == RowKind.INSERT));
  }

  @Test
  void scansThatAlwaysBreakOffFailTheReader() {
    FakeTable table = table(Tables.primaryKeyTable(1));
    table.upsert(0, row(1));
    table.scanFailures = 1;

    FlussSplitReader reader =
        reader(table, spec(Tables.ROW_TYPE, true), new SnapshotLogSplit(Tables.TABLE_ID, 0, true));

    assertThrows(IOException.class, () -> fetch(reader, 1, 100));
    assertEquals(4, table.scansStarted);
  }

  @Test
  void queries() throws IOException {
    FakeTable table = table(Tables.primaryKeyTable(1));
    for (long id = 0; id < 5; id++) {
      table.upsert(0, row(id));
    }
    RowType idAndN =
        new RowType(
            Arrays.asList(Tables.ROW_TYPE.getFields().get(2), Tables.ROW_TYPE.getFields().get(0)));

    QuerySplit limit = new QuerySplit(Tables.TABLE_ID, 0, QuerySplit.Query.LIMIT);
    fetch(reader(table, spec(idAndN, true).limitedTo(3), limit), 1, 3);
    assertEquals(3, rows.size());
    assertEquals(2, rows.get(0).getArity());

    rows.clear();
    finished.clear();
    QuerySplit lookup = new QuerySplit(Tables.TABLE_ID, 0, QuerySplit.Query.LOOKUP);
    fetch(reader(table, spec(idAndN, true).lookingUp(new Object[] {4}), lookup), 1, 3);
    assertEquals(1, rows.size());
    assertEquals(40, rows.get(0).getInt(0));

    rows.clear();
    finished.clear();
    fetch(reader(table, spec(idAndN, true).lookingUp(new Object[] {9}), lookup), 1, 3);
    assertEquals(0, rows.size());
    assertEquals(Set.of("lookup-7-0"), finished);

    finished.clear();
    RowType count =
        new RowType(Collections.singletonList(new RowType.RowField("count1$0", new BigIntType())));
    QuerySplit counting = new QuerySplit(Tables.TABLE_ID, 0, QuerySplit.Query.COUNT);
    fetch(reader(table, spec(count, true).counting(), counting), 1, 3);
    assertEquals(Arrays.asList(5L), ids());
  }

  @Test
  void noColumnsAtAll() throws IOException {
    FakeTable table = table(Tables.logTable(1));
    table.append(0, row(1));
    table.append(0, row(2));

    RowType nothing = new RowType(Collections.emptyList());
    fetch(reader(table, spec(nothing, true), new LogSplit(Tables.TABLE_ID, 0, 0, 2)), 1, 50);

    assertEquals(2, rows.size());
    assertEquals(0, rows.get(0).getArity());
  }

  @Test
  void pausedSplitsBringNothing() throws IOException {
    FakeTable table = table(Tables.logTable(2));
    LogSplit first = new LogSplit(Tables.TABLE_ID, 0, 0, LogSplit.NO_STOP);
    LogSplit second = new LogSplit(Tables.TABLE_ID, 1, 0, LogSplit.NO_STOP);
    FlussSplitReader reader = reader(table, spec(Tables.ROW_TYPE, false), first, second);
    table.append(0, row(1));
    table.append(1, row(2));
    Collection<FlussSplit> none = Collections.emptyList();

    reader.pauseOrResumeSplits(Collections.singletonList(first), none);
    fetch(reader, 1, 20);
    assertEquals(Arrays.asList(2L), ids());

    reader.pauseOrResumeSplits(none, Collections.singletonList(first));
    fetch(reader, 1, 20);
    assertEquals(Arrays.asList(1L, 2L), ids());
  }

  @Test
  void wakeUpEndsWaitingForPausedSplits() throws Exception {
    FakeTable table = table(Tables.primaryKeyTable(1));
    SnapshotLogSplit split = new SnapshotLogSplit(Tables.TABLE_ID, 0, false);
    FlussSplitReader reader = reader(table, spec(Tables.ROW_TYPE, false), split);
    reader.pauseOrResumeSplits(Collections.singletonList(split), Collections.emptyList());

    CountDownLatch fetched = new CountDownLatch(1);
    Thread fetcher =
        new Thread(
            () -> {
              try {
                reader.fetch();
                fetched.countDown();
              } catch (IOException e) {
                throw new AssertionError(e);
              }
            });
    fetcher.start();
    reader.wakeUp();

    assertTrue(fetched.await(5, TimeUnit.SECONDS), "still waiting");
    fetcher.join();
  }

  @Test
  void wakeUpReachesTheScanner() throws IOException {
    FakeTable table = table(Tables.logTable(1));
    FlussSplitReader reader =
        reader(
            table,
            spec(Tables.ROW_TYPE, false),
            new LogSplit(Tables.TABLE_ID, 0, 0, LogSplit.NO_STOP));
    fetch(reader, 1, 1);

    reader.wakeUp();

    assertEquals(1, table.wakeUps);
  }

  /** One fetch: ids of the rows, and {@code idle} for marks, by split. */
  private static Map<String, List<String>> fetched(FlussSplitReader reader) throws IOException {
    Map<String, List<String>> result = new TreeMap<>();
    RecordsWithSplitIds<ScanRecord> records = reader.fetch();
    for (String split = records.nextSplit(); split != null; split = records.nextSplit()) {
      for (ScanRecord r = records.nextRecordFromSplit();
          r != null;
          r = records.nextRecordFromSplit()) {
        result
            .computeIfAbsent(split, key -> new ArrayList<>())
            .add(r.isIdleMark() ? "idle" : String.valueOf(r.row().getLong(0)));
      }
    }
    return result;
  }

  private static FlussSplitReader markingReader(FakeTable table, long idleAfterMs) {
    return reader(
        table,
        spec(Tables.ROW_TYPE, false).markingIdle(idleAfterMs),
        new LogSplit(Tables.TABLE_ID, 0, LogSplit.EARLIEST, LogSplit.NO_STOP),
        new LogSplit(Tables.TABLE_ID, 1, LogSplit.EARLIEST, LogSplit.NO_STOP));
  }

  @Test
  void bucketsWithoutRecordsAreMarkedIdleBehindTheirRecords() throws IOException {
    FakeTable table = table(Tables.logTable(2));
    for (long id = 0; id < 20; id++) {
      table.append(0, row(id));
    }
    FlussSplitReader reader = markingReader(table, 1);

    List<String> bucket0 = new ArrayList<>();
    List<String> bucket1 = new ArrayList<>();
    while (!bucket0.contains("idle")) {
      Map<String, List<String>> fetched = fetched(reader);
      bucket0.addAll(fetched.getOrDefault("log-7-0", List.of()));
      bucket1.addAll(fetched.getOrDefault("log-7-1", List.of()));
    }

    assertEquals(21, bucket0.size(), "the mark is behind all rows");
    assertEquals(Set.of("idle"), new TreeSet<>(bucket1));

    table.append(1, row(99));
    bucket1.clear();
    while (!bucket1.contains("idle")) {
      bucket1.addAll(fetched(reader).getOrDefault("log-7-1", List.of()));
      if (bucket1.contains("idle") && !bucket1.contains("99")) {
        bucket1.clear(); // the mark is repeated until there is a row
      }
    }
    assertEquals(Arrays.asList("99", "idle"), bucket1.subList(bucket1.indexOf("99"), 2));
  }

  @Test
  void marksAreRepeatedFromTimeToTime() {
    LogRead read = new LogRead("log-7-0", new TableBucket(0), 0, LogSplit.NO_STOP, null);

    assertTrue(read.takeIdleMark(1000, 50));
    assertFalse(read.takeIdleMark(1049, 50));
    assertTrue(read.takeIdleMark(1050, 50));
    assertFalse(read.takeIdleMark(1060, 50));
  }

  @Test
  void withoutWatermarksNothingIsMarked() throws IOException {
    FlussSplitReader reader = markingReader(table(Tables.logTable(2)), 0);
    for (int i = 0; i < 50; i++) {
      assertEquals(Map.of(), fetched(reader));
    }
  }

  @Test
  void aTableCreatedAgainIsNotReadWithOldState() {
    TableException e =
        assertThrows(
            TableException.class,
            () ->
                reader(
                    table(Tables.logTable(1)),
                    spec(Tables.ROW_TYPE, false),
                    new LogSplit(Tables.TABLE_ID - 1, 0, 5, LogSplit.NO_STOP)));
    assertTrue(e.getMessage().contains("dropped and created again"), e.getMessage());
  }

  @Test
  void columnsMustBeThoseOfTheTable() {
    RowType wrong =
        new RowType(Collections.singletonList(new RowType.RowField("n", new BigIntType())));

    ValidationException e =
        assertThrows(
            ValidationException.class,
            () ->
                reader(
                    table(Tables.logTable(1)),
                    spec(wrong, false),
                    new LogSplit(Tables.TABLE_ID, 0, 0, LogSplit.NO_STOP)));
    assertEquals(
        "Column 'n' of table db.t has type INT, the query expects BIGINT.", e.getMessage());
  }
}
