package io.fluss.flink.source.split;

import io.fluss.client.TableBucket;

/** The log of a bucket from an offset on, to a stop offset or without end. */
public final class LogSplit extends FlussSplit {

  /** Start offset that stands for the earliest one, resolved when the bucket is first fetched. */
  public static final long EARLIEST = -2;

  /** Stop offset of a split that never ends. */
  public static final long NO_STOP = Long.MIN_VALUE;

  private final long startOffset;
  private final long stopOffset;

  /** A split of a table without partitions. */
  public LogSplit(long tableId, int bucket, long startOffset, long stopOffset) {
    this(tableId, new TableBucket(bucket), startOffset, stopOffset);
  }

  /**
   * @param startOffset first offset to read, or {@link #EARLIEST}
   * @param stopOffset first offset not to read, or {@link #NO_STOP}
   */
  public LogSplit(long tableId, TableBucket bucket, long startOffset, long stopOffset) {
    super(tableId, bucket);
    if (startOffset < 0 && startOffset != EARLIEST) {
      throw new IllegalArgumentException("Invalid start offset " + startOffset + ".");
    }
    if (stopOffset < 0 && stopOffset != NO_STOP) {
      throw new IllegalArgumentException("Invalid stop offset " + stopOffset + ".");
    }
    this.startOffset = startOffset;
    this.stopOffset = stopOffset;
  }

  public long startOffset() {
    return startOffset;
  }

  public long stopOffset() {
    return stopOffset;
  }

  public LogSplit from(long offset) {
    return new LogSplit(tableId(), bucket(), offset, stopOffset);
  }

  @Override
  String kind() {
    return "log";
  }

  @Override
  public boolean equals(Object other) {
    return super.equals(other)
        && startOffset == ((LogSplit) other).startOffset
        && stopOffset == ((LogSplit) other).stopOffset;
  }

  @Override
  public int hashCode() {
    return 31 * super.hashCode() + Long.hashCode(startOffset);
  }

  @Override
  public String toString() {
    return splitId() + "[" + startOffset + ", " + (stopOffset == NO_STOP ? "" : stopOffset) + ")";
  }
}
