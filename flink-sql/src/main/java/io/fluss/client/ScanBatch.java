package io.fluss.client;

import java.util.Collections;
import java.util.List;
import java.util.Set;

/** Response of one {@link LogScanner#poll}: runs of records, in offset order within each bucket. */
public final class ScanBatch {
  public static final ScanBatch EMPTY = new ScanBatch(Collections.emptyList());

  private final List<BucketRecords> buckets;
  private final Set<TableBucket> dropped;

  public ScanBatch(List<BucketRecords> buckets) {
    this(buckets, Collections.emptySet());
  }

  public ScanBatch(List<BucketRecords> buckets, Set<TableBucket> dropped) {
    this.buckets = Collections.unmodifiableList(buckets);
    this.dropped = Collections.unmodifiableSet(dropped);
  }

  /** Buckets whose partition was dropped; they are subscribed no more. */
  public Set<TableBucket> dropped() {
    return dropped;
  }

  /** Runs of records; one bucket may have several, in order. */
  public List<BucketRecords> buckets() {
    return buckets;
  }

  /**
   * True when no records arrived. A run without records (it only advances an offset) counts as
   * something.
   */
  public boolean isEmpty() {
    return buckets.isEmpty();
  }

  /** Number of records in all runs. */
  public int count() {
    int count = 0;
    for (BucketRecords records : buckets) {
      count += records.size();
    }
    return count;
  }
}
