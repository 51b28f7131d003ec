package io.fluss.flink.source.reader;

import io.fluss.client.BucketRecords;
import io.fluss.client.ErrorCode;
import io.fluss.client.FlussException;
import io.fluss.client.LogScanner;
import io.fluss.client.ScanBatch;
import io.fluss.client.TableBucket;
import io.fluss.flink.source.ScanSpec;
import io.fluss.flink.source.split.FlussSplit;
import io.fluss.flink.source.split.LogSplit;
import io.fluss.flink.source.split.QuerySplit;
import io.fluss.flink.source.split.ScanHistory;
import io.fluss.flink.source.split.SnapshotLogSplit;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import javax.annotation.Nullable;
import org.apache.flink.connector.base.source.reader.RecordsWithSplitIds;
import org.apache.flink.connector.base.source.reader.splitreader.SplitReader;
import org.apache.flink.connector.base.source.reader.splitreader.SplitsAddition;
import org.apache.flink.connector.base.source.reader.splitreader.SplitsChange;
import org.apache.flink.table.api.TableException;
import org.apache.flink.table.data.RowData;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Reads all splits of one reader in its fetcher thread. Queries and states come first, one bucket
 * after the other; a bucket whose state was read joins the log scanner, which is polled for all
 * buckets at once when no state is left to read.
 *
 * <p>Only {@link #wakeUp} is called from another thread.
 */
public final class FlussSplitReader implements SplitReader<ScanRecord, FlussSplit> {

  private static final Logger LOG = LoggerFactory.getLogger(FlussSplitReader.class);

  /** How long a fetch may wait for new records; {@link #wakeUp} ends it early. */
  private static final Duration POLL_TIMEOUT = Duration.ofSeconds(10);

  /** Looks for idle buckets in the time after which one is idle. */
  private static final int IDLE_CHECKS = 4;

  private final ScanSpec spec;
  private final Supplier<TableAccess> opener;
  private final ReaderMetrics metrics;

  private final Deque<FlussSplit> waiting = new ArrayDeque<>();
  private final Map<TableBucket, LogRead> logs = new HashMap<>();
  private final Set<String> paused = new HashSet<>();
  private final Set<String> finished = new HashSet<>();
  @Nullable private StateRead state;

  private long nextIdleCheckNanos = System.nanoTime();

  private final Object idle = new Object();
  private boolean wokenUp;

  @Nullable private OpenTable table;
  private volatile LogScanner logScanner;

  /**
   * @param opener connects to the table; called once, in the fetcher thread
   */
  public FlussSplitReader(ScanSpec spec, Supplier<TableAccess> opener, ReaderMetrics metrics) {
    this.spec = spec;
    this.opener = opener;
    this.metrics = metrics;
  }

  // ------------------------------------------------------------------------------------ splits

  @Override
  public void handleSplitsChanges(SplitsChange<FlussSplit> change) {
    if (!(change instanceof SplitsAddition)) {
      throw new UnsupportedOperationException("Unexpected change of splits: " + change + ".");
    }
    long tableId = open().info().tableId();
    for (FlussSplit split : change.splits()) {
      if (split.tableId() != tableId) {
        throw new TableException(
            String.format(
                "Table %s was dropped and created again since the job started: its id was %d and"
                    + " is %d now. Start the job without the old state.",
                spec.path(), split.tableId(), tableId));
      }
      LOG.info("Reading {} of table {}.", split, spec.path());
      add(split);
    }
  }

  private void add(FlussSplit split) {
    if (split instanceof LogSplit) {
      LogSplit log = (LogSplit) split;
      addLog(
          new LogRead(split.splitId(), split.bucket(), log.startOffset(), log.stopOffset(), null));
    } else if (split instanceof SnapshotLogSplit
        && ((SnapshotLogSplit) split).history().isComplete()) {
      stateIsRead((SnapshotLogSplit) split);
    } else {
      waiting.add(split);
    }
  }

  private void addLog(LogRead read) {
    if (read.isAtEnd()) {
      finished.add(read.splitId());
      return;
    }
    logs.put(read.bucket(), read);
    if (!paused.contains(read.splitId())) {
      logScanner().subscribe(read.bucket(), read.position());
    }
  }

  private void stateIsRead(SnapshotLogSplit split) {
    if (split.isBounded()) {
      finished.add(split.splitId());
    } else {
      addLog(
          new LogRead(
              split.splitId(),
              split.bucket(),
              split.changelogStart(),
              LogSplit.NO_STOP,
              split.history()));
    }
  }

  @Override
  public void pauseOrResumeSplits(
      Collection<FlussSplit> splitsToPause, Collection<FlussSplit> splitsToResume) {
    for (FlussSplit split : splitsToPause) {
      paused.add(split.splitId());
      if (logs.containsKey(split.bucket())) {
        logScanner().unsubscribe(split.bucket());
      }
    }
    for (FlussSplit split : splitsToResume) {
      LogRead read = logs.get(split.bucket());
      if (paused.remove(split.splitId()) && read != null) {
        logScanner().subscribe(read.bucket(), read.position());
      }
    }
  }

  private OpenTable open() {
    if (table == null) {
      TableAccess access = opener.get();
      try {
        table = new OpenTable(spec, access);
      } catch (RuntimeException e) {
        access.close();
        throw e;
      }
    }
    return table;
  }

  private LogScanner logScanner() {
    if (logScanner == null) {
      logScanner = table.newLogScanner();
    }
    return logScanner;
  }

  // ------------------------------------------------------------------------------------- fetch

  @Override
  public RecordsWithSplitIds<ScanRecord> fetch() throws IOException {
    try {
      if (!finished.isEmpty()) {
        return records(Collections.emptyList());
      }
      if (state == null) {
        FlussSplit next = nextWaiting();
        if (next instanceof QuerySplit) {
          return result((QuerySplit) next);
        }
        if (next != null) {
          state = table.newStateRead((SnapshotLogSplit) next);
        }
      }
      if (state != null && !paused.contains(state.split().splitId())) {
        return readState();
      }
      return logs.isEmpty() ? waitIdle() : pollLog();
    } catch (RuntimeException e) {
      throw new IOException("Reading table " + spec.path() + " failed: " + e.getMessage(), e);
    }
  }

  /** The first query or state that is not paused. */
  @Nullable
  private FlussSplit nextWaiting() {
    for (FlussSplit split : waiting) {
      if (!paused.contains(split.splitId())) {
        waiting.remove(split);
        return split;
      }
    }
    return null;
  }

  private ScanRecords records(List<SplitBatch> batches) {
    Set<String> done = new HashSet<>(finished);
    finished.clear();
    return new ScanRecords(batches, done);
  }

  private static boolean isDropped(FlussSplit split, FlussException e) {
    return e.code() == ErrorCode.PARTITION_NOT_EXISTS && split.bucket().partition() != null;
  }

  private ScanRecords readState() {
    List<RowData> rows;
    try {
      rows = state.step();
    } catch (FlussException e) {
      if (!isDropped(state.split(), e)) {
        throw e;
      }
      LOG.info("{} of {} ends: its partition was dropped.", state.split(), spec.path());
      finished.add(state.split().splitId());
      state.close();
      state = null;
      return records(Collections.emptyList());
    }
    ScanHistory history = state.history();
    String splitId = state.split().splitId();
    SplitBatch batch =
        SplitBatch.state(
            splitId,
            rows,
            table.projectFull(),
            table.emittedKeyEncoder(),
            state.scanOffset(),
            history.isComplete());
    if (history.isComplete()) {
      SnapshotLogSplit split = state.split().at(history, SnapshotLogSplit.NOT_STARTED);
      state = null;
      stateIsRead(split);
    }
    return rows.isEmpty() ? records(Collections.emptyList()) : records(List.of(batch));
  }

  private ScanRecords pollLog() {
    List<SplitBatch> batches = new ArrayList<>();
    long newest = ScanRecord.NO_TIMESTAMP;
    ScanBatch polled = logScanner().poll(pollTimeout());
    for (BucketRecords run : polled.buckets()) {
      LogRead read = logs.get(run.tableBucket());
      if (read == null || paused.contains(read.splitId())) {
        continue;
      }
      SplitBatch batch = read.take(run, table.projectLog(), table.logKeyEncoder());
      if (batch != null) {
        batches.add(batch);
        newest = Math.max(newest, run.timestamp(run.size() - 1));
      }
      if (read.isAtEnd()) {
        logScanner().unsubscribe(read.bucket());
        logs.remove(read.bucket());
        finished.add(read.splitId());
      }
    }
    for (TableBucket bucket : polled.dropped()) {
      partitionDropped(logs.remove(bucket));
    }
    markIdle(batches);
    if (newest != ScanRecord.NO_TIMESTAMP) {
      metrics.fetched(newest);
    }
    metrics.pending(logs.values().stream().mapToLong(LogRead::pending).sum());
    return records(batches);
  }

  private Duration pollTimeout() {
    long idleCheckMs = spec.idleAfterMs() == 0 ? Long.MAX_VALUE : idleCheckMs();
    return idleCheckMs < POLL_TIMEOUT.toMillis() ? Duration.ofMillis(idleCheckMs) : POLL_TIMEOUT;
  }

  private long idleCheckMs() {
    return Math.max(1, spec.idleAfterMs() / IDLE_CHECKS);
  }

  /**
   * Adds marks for buckets that were empty for long enough. They are added after the records, so
   * nothing of the bucket is read but not emitted when the mark is.
   */
  private void markIdle(List<SplitBatch> batches) {
    long now = System.nanoTime();
    if (spec.idleAfterMs() == 0 || now - nextIdleCheckNanos < 0) {
      return;
    }
    nextIdleCheckNanos = now + TimeUnit.MILLISECONDS.toNanos(idleCheckMs());
    long intervalNanos = TimeUnit.MILLISECONDS.toNanos(spec.idleAfterMs());
    for (TableBucket bucket : logScanner().caughtUpFor(Duration.ofMillis(spec.idleAfterMs()))) {
      LogRead read = logs.get(bucket);
      if (read != null && read.takeIdleMark(now, intervalNanos)) {
        batches.add(SplitBatch.idle(read.splitId()));
      }
    }
  }

  /** A partition that was dropped has been read as far as it could. */
  private void partitionDropped(@Nullable LogRead read) {
    if (read != null) {
      LOG.info("{} of {} ends: its partition was dropped.", read.splitId(), spec.path());
      finished.add(read.splitId());
    }
  }

  private ScanRecords result(QuerySplit split) throws IOException {
    List<RowData> rows;
    try {
      rows = table.result(split.query(), split.bucket());
    } catch (FlussException e) {
      if (!isDropped(split, e)) {
        throw e;
      }
      rows = Collections.emptyList();
    }
    finished.add(split.splitId());
    return records(List.of(SplitBatch.result(split.splitId(), rows)));
  }

  // ------------------------------------------------------------------------------ waiting, end

  /** Everything is paused: waits until something changes. */
  private ScanRecords waitIdle() throws IOException {
    synchronized (idle) {
      try {
        if (!wokenUp) {
          idle.wait(POLL_TIMEOUT.toMillis());
        }
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new IOException("Interrupted while waiting for splits.", e);
      }
      wokenUp = false;
    }
    return records(Collections.emptyList());
  }

  @Override
  public void wakeUp() {
    LogScanner scanner = logScanner;
    if (scanner != null) {
      scanner.wakeup();
    }
    synchronized (idle) {
      wokenUp = true;
      idle.notifyAll();
    }
  }

  @Override
  public void close() {
    if (state != null) {
      state.close();
    }
    if (logScanner != null) {
      logScanner.close();
    }
    if (table != null) {
      table.close();
    }
  }
}
