package io.fluss.flink.source.reader;

import io.fluss.client.BucketRecords;
import io.fluss.client.KeyEncoder;
import io.fluss.client.TableBucket;
import io.fluss.flink.source.split.LogSplit;
import io.fluss.flink.source.split.ScanHistory;
import java.util.function.UnaryOperator;
import javax.annotation.Nullable;
import org.apache.flink.table.data.RowData;

/** The log of one bucket as far as the fetcher read it. */
final class LogRead {

  private final String splitId;
  private final TableBucket bucket;
  private final long stopOffset;
  @Nullable private final ScanHistory history;

  private long position;
  private long pending;

  /** When the split was last marked idle, null if it had records since. */
  @Nullable private Long idleMarkNanos;

  /**
   * @param position next offset to read, or {@link LogSplit#EARLIEST}
   * @param stopOffset first offset not to read, or {@link LogSplit#NO_STOP}
   * @param history how the state of the bucket was read before, null if it was not
   */
  LogRead(
      String splitId,
      TableBucket bucket,
      long position,
      long stopOffset,
      @Nullable ScanHistory history) {
    this.splitId = splitId;
    this.bucket = bucket;
    this.position = position;
    this.stopOffset = stopOffset;
    this.history = history;
  }

  String splitId() {
    return splitId;
  }

  TableBucket bucket() {
    return bucket;
  }

  long position() {
    return position;
  }

  /** Records after the position when it moved last. */
  long pending() {
    return pending;
  }

  /**
   * Whether to mark the split idle now. The mark is repeated: a watermark that was on its way when
   * the last one was emitted has made the split active again.
   */
  boolean takeIdleMark(long nowNanos, long intervalNanos) {
    if (idleMarkNanos != null && nowNanos - idleMarkNanos < intervalNanos) {
      return false;
    }
    idleMarkNanos = nowNanos;
    return true;
  }

  boolean isAtEnd() {
    return stopOffset != LogSplit.NO_STOP && position >= stopOffset;
  }

  /**
   * Moves the position behind a run.
   *
   * @param keyEncoder of the fetched rows, used only while the history has to be consulted
   * @return the rows of the run to emit, null if there are none
   */
  @Nullable
  SplitBatch take(
      BucketRecords run, UnaryOperator<RowData> projection, @Nullable KeyEncoder keyEncoder) {
    int size = run.size();
    long end = run.nextOffset();
    if (stopOffset != LogSplit.NO_STOP && end > stopOffset) {
      while (size > 0 && run.offset(size - 1) >= stopOffset) {
        size--;
      }
      end = stopOffset;
    }
    int[] kept = null;
    if (history != null && size > 0 && run.offset(0) < history.filterEnd()) {
      kept = newToHistory(run, size, keyEncoder);
      size = kept.length;
    }
    idleMarkNanos = null;
    position = end;
    pending = Math.max(0, run.highWatermark() - end);
    return size == 0 ? null : SplitBatch.log(splitId, run, kept, size, end, projection, history);
  }

  private int[] newToHistory(BucketRecords run, int size, KeyEncoder keyEncoder) {
    int[] kept = new int[size];
    int count = 0;
    for (int i = 0; i < size; i++) {
      long offset = run.offset(i);
      if (offset >= history.filterEnd()
          || !history.contains(keyEncoder.encode(run.row(i)), offset)) {
        kept[count++] = i;
      }
    }
    return java.util.Arrays.copyOf(kept, count);
  }
}
