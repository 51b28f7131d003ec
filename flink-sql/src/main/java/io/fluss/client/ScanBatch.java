package io.fluss.client;

import java.util.Collections;
import java.util.List;

/** Answer of one {@link LogScanner#poll}: runs of records, in offset order within each bucket. */
public final class ScanBatch {
  public static final ScanBatch EMPTY = new ScanBatch(Collections.emptyList());

  private final List<BucketRecords> buckets;

  public ScanBatch(List<BucketRecords> buckets) {
    this.buckets = Collections.unmodifiableList(buckets);
  }

  /** Runs of records; one bucket may have several, in order. */
  public List<BucketRecords> buckets() {
    return buckets;
  }

  /**
   * True when nothing arrived. A run without records (it only advances an offset) counts as
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
