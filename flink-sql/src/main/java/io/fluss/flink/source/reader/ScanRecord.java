package io.fluss.flink.source.reader;

import io.fluss.client.KeyEncoder;
import io.fluss.flink.source.split.ScanHistory;
import javax.annotation.Nullable;
import org.apache.flink.table.data.RowData;

/**
 * One row on its way from the split reader to the emitter, with the position it moves the split to,
 * or the mark that the split is idle. Filled again for every row, never kept.
 */
public final class ScanRecord {

  /** Timestamp of a row that has none. */
  static final long NO_TIMESTAMP = Long.MIN_VALUE;

  private RowData row;
  private long timestamp;

  private boolean fromState;
  @Nullable private RowData keyRow;
  @Nullable private KeyEncoder keyEncoder;
  private long scanOffset;
  private boolean stateEnd;

  private long nextOffset;
  @Nullable private ScanHistory history;

  /** No row: the split has had nothing to read for a while, and should hold back no watermark. */
  void setIdleMark() {
    row = null;
  }

  boolean isIdleMark() {
    return row == null;
  }

  /** A row of the result of a query; it moves nothing. */
  void setResult(RowData newRow) {
    row = newRow;
    timestamp = NO_TIMESTAMP;
    fromState = false;
    keyRow = null;
    nextOffset = -1;
    history = null;
  }

  /**
   * A row of the state of a bucket.
   *
   * @param fullRow the row with all columns, from which {@code encoder} takes the key
   * @param offset changelog offset of the scan
   * @param last whether the state ends with this row
   */
  void setState(RowData newRow, RowData fullRow, KeyEncoder encoder, long offset, boolean last) {
    row = newRow;
    timestamp = NO_TIMESTAMP;
    fromState = true;
    keyRow = fullRow;
    keyEncoder = encoder;
    scanOffset = offset;
    stateEnd = last;
  }

  /**
   * A row of the log.
   *
   * @param next offset to go on at after this row
   * @param stateHistory of a snapshot-log split: how its state was read
   */
  void setLog(RowData newRow, long commitTimestamp, long next, @Nullable ScanHistory stateHistory) {
    row = newRow;
    timestamp = commitTimestamp > 0 ? commitTimestamp : NO_TIMESTAMP;
    fromState = false;
    keyRow = null;
    nextOffset = next;
    history = stateHistory;
  }

  RowData row() {
    return row;
  }

  long timestamp() {
    return timestamp;
  }

  boolean isFromState() {
    return fromState;
  }

  RowData keyRow() {
    return keyRow;
  }

  KeyEncoder keyEncoder() {
    return keyEncoder;
  }

  long scanOffset() {
    return scanOffset;
  }

  boolean isStateEnd() {
    return stateEnd;
  }

  long nextOffset() {
    return nextOffset;
  }

  @Nullable
  ScanHistory history() {
    return history;
  }
}
