package io.fluss.flink.source.reader;

import io.fluss.client.KeyEncoder;
import io.fluss.flink.source.split.FlussSplit;
import io.fluss.flink.source.split.LogSplit;
import io.fluss.flink.source.split.ScanHistory;
import io.fluss.flink.source.split.SnapshotLogSplit;
import javax.annotation.Nullable;
import org.apache.flink.table.data.RowData;

/**
 * How far the rows of a split were emitted; lives in the task thread. Keys of state rows are
 * encoded only when a checkpoint or a new scan needs them.
 */
final class SplitState {

  private static final long NOT_MOVED = -1;

  private final FlussSplit split;
  private long nextOffset = NOT_MOVED;

  private ScanHistory history = ScanHistory.empty();
  @Nullable private RowData lastStateRow;
  private KeyEncoder keyEncoder;
  private long scanOffset;

  SplitState(FlussSplit split) {
    this.split = split;
    if (split instanceof SnapshotLogSplit) {
      history = ((SnapshotLogSplit) split).history();
      nextOffset = ((SnapshotLogSplit) split).logOffset();
    }
  }

  /** Notes that this record was emitted. */
  void advance(ScanRecord record) {
    if (record.isFromState()) {
      advanceState(record);
    } else {
      nextOffset = record.nextOffset();
      if (record.history() != null) {
        history = record.history();
        lastStateRow = null;
      }
    }
  }

  private void advanceState(ScanRecord record) {
    if (lastStateRow != null && record.scanOffset() != scanOffset) {
      foldLastRow();
    }
    scanOffset = record.scanOffset();
    if (record.isStateEnd()) {
      history = history.finish(scanOffset);
      lastStateRow = null;
    } else {
      lastStateRow = record.keyRow();
      keyEncoder = record.keyEncoder();
    }
  }

  private void foldLastRow() {
    history = history.read(keyEncoder.encode(lastStateRow), scanOffset);
    lastStateRow = null;
  }

  /** The split as a checkpoint keeps it. */
  FlussSplit toSplit() {
    if (split instanceof SnapshotLogSplit) {
      if (lastStateRow != null) {
        foldLastRow();
      }
      return ((SnapshotLogSplit) split).at(history.withoutPast(nextOffset), nextOffset);
    }
    if (split instanceof LogSplit && nextOffset != NOT_MOVED) {
      return ((LogSplit) split).from(nextOffset);
    }
    return split;
  }
}
