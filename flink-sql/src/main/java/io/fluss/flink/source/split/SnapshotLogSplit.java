package io.fluss.flink.source.split;

import io.fluss.client.TableBucket;
import java.util.Objects;

/**
 * A bucket of a primary-key table: its state first and then, unless bounded, the changelog from
 * exactly where the state ends.
 */
public final class SnapshotLogSplit extends FlussSplit {

  /** Log offset of a split whose changelog was not read yet. */
  public static final long NOT_STARTED = -1;

  private final boolean bounded;
  private final ScanHistory history;
  private final long logOffset;

  /** A split of a table without partitions of which nothing was read. */
  public SnapshotLogSplit(long tableId, int bucket, boolean bounded) {
    this(tableId, new TableBucket(bucket), bounded, ScanHistory.empty(), NOT_STARTED);
  }

  /** A split of a table without partitions. */
  public SnapshotLogSplit(
      long tableId, int bucket, boolean bounded, ScanHistory history, long logOffset) {
    this(tableId, new TableBucket(bucket), bounded, history, logOffset);
  }

  /**
   * @param bounded end after the state
   * @param history the part of the state that was read
   * @param logOffset next offset of the changelog to read, {@link #NOT_STARTED} before the first
   */
  public SnapshotLogSplit(
      long tableId, TableBucket bucket, boolean bounded, ScanHistory history, long logOffset) {
    super(tableId, bucket);
    this.bounded = bounded;
    this.history = Objects.requireNonNull(history);
    this.logOffset = logOffset;
    if (logOffset < NOT_STARTED || logOffset >= 0 && !history.isComplete()) {
      throw new IllegalArgumentException(
          "Log offset " + logOffset + " does not match the history " + history + ".");
    }
  }

  public boolean isBounded() {
    return bounded;
  }

  public ScanHistory history() {
    return history;
  }

  public long logOffset() {
    return logOffset;
  }

  /** First offset of the changelog to read; the history must be complete. */
  public long changelogStart() {
    return logOffset == NOT_STARTED ? history.changelogStart() : logOffset;
  }

  /** The same bucket after some more of its state or changelog was read. */
  public SnapshotLogSplit at(ScanHistory newHistory, long newLogOffset) {
    return new SnapshotLogSplit(tableId(), bucket(), bounded, newHistory, newLogOffset);
  }

  @Override
  String kind() {
    return "snapshot-log";
  }

  @Override
  public boolean equals(Object other) {
    if (!super.equals(other)) {
      return false;
    }
    SnapshotLogSplit that = (SnapshotLogSplit) other;
    return bounded == that.bounded && logOffset == that.logOffset && history.equals(that.history);
  }

  @Override
  public int hashCode() {
    return Objects.hash(super.hashCode(), logOffset, history);
  }

  @Override
  public String toString() {
    return splitId() + "[" + history + ", log " + logOffset + (bounded ? ", bounded]" : "]");
  }
}
