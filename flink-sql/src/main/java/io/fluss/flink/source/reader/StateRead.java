package io.fluss.flink.source.reader;

import io.fluss.client.ErrorCode;
import io.fluss.client.FlussException;
import io.fluss.client.KeyEncoder;
import io.fluss.client.KvScanner;
import io.fluss.flink.source.split.ScanHistory;
import io.fluss.flink.source.split.SnapshotLogSplit;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.function.Supplier;
import javax.annotation.Nullable;
import org.apache.flink.table.data.RowData;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Reads the state of one bucket, over as many scans as it takes: a scan that the server gave up (a
 * reader that stood still for too long, a restart of the server) is followed by a new one that
 * skips what was read.
 */
final class StateRead implements AutoCloseable {

  private static final Logger LOG = LoggerFactory.getLogger(StateRead.class);

  /** Scans that may break one after the other without a single row of progress. */
  private static final int MAX_FRUITLESS_SCANS = 3;

  private static final Set<ErrorCode> SCAN_LOST =
      EnumSet.of(
          ErrorCode.SCANNER_EXPIRED, ErrorCode.UNKNOWN_SCANNER_ID, ErrorCode.INVALID_SCAN_REQUEST);

  private final SnapshotLogSplit split;
  private final Supplier<KvScanner> scans;
  private final KeyEncoder keyEncoder;
  private ScanHistory history;

  @Nullable private KvScanner scan;
  private long scanOffset;
  private boolean skipping;
  private int fruitlessScans;

  /** The rows read last; handed out one step later, when it is known whether the state goes on. */
  private List<RowData> held = new ArrayList<>();

  /**
   * @param scans opens a scan of the bucket
   * @param keyEncoder for the thread that reads
   */
  StateRead(SnapshotLogSplit split, Supplier<KvScanner> scans, KeyEncoder keyEncoder) {
    this.split = split;
    this.scans = scans;
    this.keyEncoder = keyEncoder;
    this.history = split.history();
  }

  SnapshotLogSplit split() {
    return split;
  }

  /** What was read, as far as {@link #step} handed it out. */
  ScanHistory history() {
    return history;
  }

  /** Changelog offset of the scan whose rows {@link #step} returned last. */
  long scanOffset() {
    return scanOffset;
  }

  /**
   * Reads on by one batch.
   *
   * @return rows to emit, in key order, often none; after the last ones the history is complete
   */
  List<RowData> step() {
    try {
      return readOn();
    } catch (FlussException e) {
      if (!SCAN_LOST.contains(e.code()) && !e.retriable()
          || e.code() == ErrorCode.TOO_MANY_SCANNERS) {
        throw e; // for the last one the client has waited long enough
      }
      fruitlessScans++;
      if (fruitlessScans > MAX_FRUITLESS_SCANS) {
        throw e;
      }
      LOG.info("Scan of {} broke off, starting another one after the rows read.", split, e);
      closeScan();
      return new ArrayList<>();
    }
  }

  private List<RowData> readOn() {
    if (scan == null) {
      scan = scans.get();
      scanOffset = scan.logOffset();
      skipping = !history.ranges().isEmpty();
    }
    List<RowData> read = new ArrayList<>();
    boolean more = scan.next(read);
    if (skipping && more) {
      read = withoutKnown(read);
    }
    if (more && read.isEmpty()) {
      return read;
    }
    List<RowData> ready = held;
    held = read;
    if (!ready.isEmpty()) {
      history = history.read(keyEncoder.encode(ready.get(ready.size() - 1)), scanOffset);
      fruitlessScans = 0;
    }
    if (!more) {
      history = history.finish(scanOffset);
      closeScan();
    }
    return ready;
  }

  /** The rows behind those that earlier scans read; once there is one, all that follow are new. */
  private List<RowData> withoutKnown(List<RowData> rows) {
    for (int i = 0; i < rows.size(); i++) {
      if (!history.wasRead(keyEncoder.encode(rows.get(i)))) {
        skipping = false;
        return new ArrayList<>(rows.subList(i, rows.size()));
      }
    }
    return new ArrayList<>();
  }

  private void closeScan() {
    held = new ArrayList<>();
    if (scan != null) {
      scan.close();
      scan = null;
    }
  }

  @Override
  public void close() {
    closeScan();
  }
}
