package io.fluss.client;

import java.util.AbstractList;
import java.util.List;
import org.apache.flink.table.data.RowData;
import org.apache.flink.types.RowKind;

/**
 * A run of consecutive records of one bucket, columnar: rows are light views created on access.
 * Views stay valid for as long as they are referenced; they keep the memory of the whole run alive.
 */
public abstract class BucketRecords {
  private final TableBucket bucket;
  private final long nextOffset;
  private final long highWatermark;

  protected BucketRecords(TableBucket bucket, long nextOffset, long highWatermark) {
    this.bucket = bucket;
    this.nextOffset = nextOffset;
    this.highWatermark = highWatermark;
  }

  public final int bucket() {
    return bucket.bucket();
  }

  public final TableBucket tableBucket() {
    return bucket;
  }

  /**
   * Where reading goes on after this run. Larger than the last record's offset plus one when
   * batches without records follow; a run may hold no record at all and still advance the offset.
   */
  public final long nextOffset() {
    return nextOffset;
  }

  /** End of the readable log when the run was fetched. */
  public final long highWatermark() {
    return highWatermark;
  }

  /** Number of records. */
  public abstract int size();

  public abstract long offset(int index);

  /** Commit time of the record's batch, milliseconds since the epoch. */
  public abstract long timestamp(int index);

  public abstract ChangeType changeType(int index);

  /**
   * The row with the scanner's projected columns in the requested order; its kind is the change
   * type's.
   */
  public abstract RowData row(int index);

  public final RowKind rowKind(int index) {
    return changeType(index).rowKind();
  }

  /** The records as objects, created on access. */
  public final List<LogRecord> records() {
    return new AbstractList<>() {
      @Override
      public LogRecord get(int index) {
        if (index < 0 || index >= BucketRecords.this.size()) {
          throw new IndexOutOfBoundsException(
              "record " + index + " of " + BucketRecords.this.size());
        }
        return new LogRecord(offset(index), timestamp(index), changeType(index), row(index));
      }

      @Override
      public int size() {
        return BucketRecords.this.size();
      }
    };
  }
}
