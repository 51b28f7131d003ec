package io.fluss.client;

import org.apache.flink.table.data.RowData;

/** One record of a bucket's log. */
public final class LogRecord {
  private final long offset;
  private final long timestamp;
  private final ChangeType changeType;
  private final RowData row;

  public LogRecord(long offset, long timestamp, ChangeType changeType, RowData row) {
    this.offset = offset;
    this.timestamp = timestamp;
    this.changeType = changeType;
    this.row = row;
  }

  public long offset() {
    return offset;
  }

  /** Commit time of the record's batch, milliseconds since the epoch. */
  public long timestamp() {
    return timestamp;
  }

  public ChangeType changeType() {
    return changeType;
  }

  public RowData row() {
    return row;
  }

  @Override
  public String toString() {
    return changeType.shortName() + " @" + offset + " " + row;
  }
}
