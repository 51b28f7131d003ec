package io.fluss.flink.source.reader;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fluss.client.ClientOptions;
import io.fluss.client.TableInfo;
import io.fluss.flink.Tables;
import io.fluss.flink.source.OffsetsInitializer;
import io.fluss.flink.source.ScanSpec;
import io.fluss.flink.source.split.FlussSplit;
import io.fluss.flink.source.split.FlussSplitSerializer;
import io.fluss.flink.source.split.LogSplit;
import io.fluss.flink.source.split.SnapshotLogSplit;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.flink.connector.base.source.reader.RecordsWithSplitIds;
import org.apache.flink.connector.base.source.reader.splitreader.SplitsAddition;
import org.apache.flink.metrics.groups.UnregisteredMetricsGroup;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.types.RowKind;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Random runs of a reader against a table that changes all the time, with scans that break off,
 * checkpoints and crashes between them. After the reader stands a strict copy of the table: a
 * repeated insert, a lost row or an update of something that is not there fails the run.
 */
class ExactlyOnceTest {

  private static final int RUNS = 200;
  private static final int STEPS = 120;
  private static final int KEYS = 30;

  /** Column v is "id/version", so that a copy can be kept without the key column. */
  private static final RowType VALUE_ONLY = new RowType(Tables.ROW_TYPE.getFields().subList(1, 2));

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void changelogOfPrimaryKeyTable(boolean valueOnly) throws Exception {
    int restoredWithinState = 0;
    for (long seed = 0; seed < RUNS; seed++) {
      ChangelogRun run = new ChangelogRun(seed, valueOnly ? VALUE_ONLY : Tables.ROW_TYPE);
      try {
        run.run();
      } catch (AssertionError e) {
        throw new AssertionError("Seed " + seed + ": " + e.getMessage(), e);
      }
      restoredWithinState += run.restoredWithinState;
    }
    assertTrue(restoredWithinState > RUNS / 2, "too few runs tried to resume within the state");
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 3})
  void rowsOfLogTable(int buckets) throws Exception {
    for (long seed = 0; seed < RUNS; seed++) {
      try {
        new LogRun(seed, buckets).run();
      } catch (AssertionError e) {
        throw new AssertionError("Seed " + seed + ": " + e.getMessage(), e);
      }
    }
  }

  /** What the two kinds of runs share: reader, checkpoints, crashes. */
  private abstract static class Run<C> {
    final Random random;
    final FakeTable table;
    final ScanSpec spec;
    int restoredWithinState;

    private FlussSplitReader reader;
    private Map<String, SplitState> states;
    private RecordsWithSplitIds<ScanRecord> fetched;
    private List<byte[]> checkpointedSplits;
    private C checkpointedCopy;
    private String current;

    Run(long seed, TableInfo info, RowType producedType) {
      random = new Random(seed);
      table = new FakeTable(info, random);
      spec =
          ScanSpec.scan(
              ClientOptions.fromMap(Map.of("bootstrap.servers", "localhost:1")),
              Tables.PATH,
              producedType,
              OffsetsInitializer.full(),
              false);
    }

    abstract void change();

    abstract void emit(RowData row);

    abstract C copy();

    abstract void restore(C copy);

    abstract void verify();

    final void run(List<FlussSplit> splits) throws Exception {
      checkpointedSplits = new ArrayList<>();
      for (FlussSplit split : splits) {
        checkpointedSplits.add(FlussSplitSerializer.INSTANCE.serialize(split));
      }
      checkpointedCopy = copy();
      restart();
      for (int step = 0; step < STEPS; step++) {
        int dice = random.nextInt(20);
        if (dice < 9) {
          change();
        } else if (dice < 17) {
          read(1 + random.nextInt(6));
        } else if (dice < 19) {
          checkpoint();
        } else {
          restart();
        }
      }
      table.scanFailures = 0;
      for (int i = 0; i < 500; i++) {
        read(10);
      }
      verify();
      reader.close();
      assertEquals(0, table.openScans, "scans left open");
    }

    private void restart() throws Exception {
      if (reader != null) {
        reader.close();
      }
      restore(checkpointedCopy);
      reader =
          new FlussSplitReader(
              spec,
              () -> table,
              new ReaderMetrics(UnregisteredMetricsGroup.createSourceReaderMetricGroup()));
      states = new HashMap<>();
      fetched = null;
      List<FlussSplit> splits = new ArrayList<>();
      for (byte[] bytes : checkpointedSplits) {
        FlussSplit split =
            FlussSplitSerializer.INSTANCE.deserialize(
                FlussSplitSerializer.INSTANCE.getVersion(), bytes);
        splits.add(split);
        states.put(split.splitId(), new SplitState(split));
        if (split instanceof SnapshotLogSplit
            && !((SnapshotLogSplit) split).history().isComplete()
            && !((SnapshotLogSplit) split).history().ranges().isEmpty()) {
          restoredWithinState++;
        }
      }
      reader.handleSplitsChanges(new SplitsAddition<>(splits));
    }

    private void checkpoint() throws Exception {
      checkpointedSplits = new ArrayList<>();
      for (SplitState state : states.values()) {
        checkpointedSplits.add(FlussSplitSerializer.INSTANCE.serialize(state.toSplit()));
      }
      checkpointedCopy = copy();
    }

    /** Emits up to {@code count} records; a fetch may stay half emitted. */
    private void read(int count) throws Exception {
      for (int i = 0; i < count; i++) {
        if (fetched == null) {
          try {
            fetched = reader.fetch();
          } catch (IOException e) {
            // Scans broke off too often in a row: the job fails and restarts.
            restart();
            return;
          }
          current = fetched.nextSplit();
        }
        while (current != null) {
          ScanRecord record = fetched.nextRecordFromSplit();
          if (record != null) {
            emit(record.row());
            states.get(current).advance(record);
            break;
          }
          current = fetched.nextSplit();
        }
        if (current == null) {
          assertTrue(fetched.finishedSplits().isEmpty(), "an unbounded split ended");
          fetched = null;
        }
      }
    }
  }

  private static final class ChangelogRun extends Run<Map<Long, String>> {
    private static final int BUCKETS = 2;

    private final boolean valueOnly;
    private Map<Long, String> copy = new HashMap<>();
    private int version;

    ChangelogRun(long seed, RowType producedType) {
      super(seed, Tables.primaryKeyTable(BUCKETS), producedType);
      valueOnly = producedType == VALUE_ONLY;
      table.scanFailures = random.nextInt(3) == 0 ? 0.15 : 0;
      for (int i = random.nextInt(2 * KEYS); i > 0; i--) {
        change();
      }
    }

    void run() throws Exception {
      List<FlussSplit> splits = new ArrayList<>();
      for (int bucket = 0; bucket < BUCKETS; bucket++) {
        splits.add(new SnapshotLogSplit(Tables.TABLE_ID, bucket, false));
      }
      run(splits);
    }

    @Override
    void change() {
      long id = random.nextInt(KEYS);
      RowData row =
          GenericRowData.of(id, StringData.fromString(id + "/" + version++), random.nextInt());
      if (random.nextInt(3) == 0) {
        table.delete((int) id % BUCKETS, row);
      } else {
        table.upsert((int) id % BUCKETS, row);
      }
    }

    @Override
    void emit(RowData row) {
      String value = row.getString(valueOnly ? 0 : 1).toString();
      long id = Long.parseLong(value.substring(0, value.indexOf('/')));
      if (row.getRowKind() == RowKind.INSERT || row.getRowKind() == RowKind.UPDATE_AFTER) {
        assertEquals(null, copy.put(id, value), "repeated " + row.getRowKind() + " of " + value);
      } else {
        assertEquals(value, copy.remove(id), row.getRowKind() + " of " + value);
      }
    }

    @Override
    Map<Long, String> copy() {
      return new HashMap<>(copy);
    }

    @Override
    void restore(Map<Long, String> checkpointed) {
      copy = new HashMap<>(checkpointed);
    }

    @Override
    void verify() {
      Map<Long, String> expected = new HashMap<>();
      for (int bucket = 0; bucket < BUCKETS; bucket++) {
        table.state(bucket).forEach(r -> expected.put(r.getLong(0), r.getString(1).toString()));
      }
      assertEquals(expected, copy);
    }
  }

  private static final class LogRun extends Run<List<Long>> {
    private final int buckets;
    private final List<Long> written = new ArrayList<>();
    private List<Long> copy = new ArrayList<>();

    LogRun(long seed, int buckets) {
      super(seed, Tables.logTable(buckets), Tables.ROW_TYPE);
      this.buckets = buckets;
    }

    void run() throws Exception {
      List<FlussSplit> splits = new ArrayList<>();
      for (int bucket = 0; bucket < buckets; bucket++) {
        splits.add(new LogSplit(Tables.TABLE_ID, bucket, LogSplit.EARLIEST, LogSplit.NO_STOP));
      }
      run(splits);
    }

    @Override
    void change() {
      int bucket = random.nextInt(buckets);
      if (random.nextInt(5) == 0) {
        table.skipOffset(bucket);
      } else {
        long id = written.size();
        written.add(id);
        table.append(bucket, GenericRowData.of(id, StringData.fromString("v" + id), null));
      }
    }

    @Override
    void emit(RowData row) {
      copy.add(row.getLong(0));
    }

    @Override
    List<Long> copy() {
      return new ArrayList<>(copy);
    }

    @Override
    void restore(List<Long> checkpointed) {
      copy = new ArrayList<>(checkpointed);
    }

    @Override
    void verify() {
      copy.sort(null);
      assertEquals(written, copy);
    }
  }
}
