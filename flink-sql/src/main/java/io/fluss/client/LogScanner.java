package io.fluss.client;

import java.time.Duration;
import java.util.Set;

/**
 * Reads the logs of buckets of one table.
 *
 * <p>Not thread-safe: one thread subscribes and polls; only {@link #wakeup()} may be called from
 * another one. While the caller works on a batch the next fetch is already under way; at most one
 * fetched response per bucket is kept.
 */
public interface LogScanner extends AutoCloseable {
  /** Start offset that stands for the smallest readable one. */
  long EARLIEST_OFFSET = -2L;

  /**
   * Starts (or restarts) reading a bucket at {@code offset}, the offset of the first wanted record.
   */
  void subscribe(TableBucket bucket, long offset);

  /** {@link #subscribe(TableBucket, long)} of a table without partitions. */
  default void subscribe(int bucket, long offset) {
    subscribe(new TableBucket(bucket), offset);
  }

  /**
   * Stops reading a bucket; fetched but unread data of it is dropped. Unknown buckets are ignored.
   */
  void unsubscribe(TableBucket bucket);

  /** {@link #unsubscribe(TableBucket)} of a table without partitions. */
  default void unsubscribe(int bucket) {
    unsubscribe(new TableBucket(bucket));
  }

  /**
   * Returns what is there, waiting up to {@code timeout} when nothing is. Returns an empty batch
   * after the time or after {@link #wakeup()}.
   *
   * @throws FlussException for errors that repeating does not cure, e.g.
   *     LOG_OFFSET_OUT_OF_RANGE_EXCEPTION when a position was removed by retention,
   *     TABLE_NOT_EXIST, CORRUPT_RECORD_EXCEPTION on a checksum mismatch, or when a bucket could
   *     not be read for {@code client.retry-timeout}
   */
  ScanBatch poll(Duration timeout);

  /**
   * Buckets of which every record is read, and were for at least this long: the server has said so
   * again and again, and no fetch of them has failed meanwhile. A bucket that the server was not
   * requested, because it is down or not subscribed, is not among them.
   */
  Set<TableBucket> caughtUpFor(Duration duration);

  /** Makes a running (or else the next) {@link #poll} return at once. */
  void wakeup();

  @Override
  void close();
}
