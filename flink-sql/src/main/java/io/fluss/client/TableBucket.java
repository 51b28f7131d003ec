package io.fluss.client;

import java.io.Serializable;
import javax.annotation.Nullable;

/**
 * A bucket of a table, or of one of its partitions. Equal when partition id and bucket are; the
 * name of the partition does not matter.
 */
public final class TableBucket implements Serializable {
  private static final long serialVersionUID = 1L;

  @Nullable private final PartitionInfo partition;
  private final int bucket;

  /** A bucket of a table without partitions. */
  public TableBucket(int bucket) {
    this(null, bucket);
  }

  /**
   * @param partition null for a table without partitions
   */
  public TableBucket(@Nullable PartitionInfo partition, int bucket) {
    this.partition = partition;
    this.bucket = bucket;
  }

  /** The bucket that a response of a server names, by the id of the partition only. */
  public static TableBucket ofResponse(boolean hasPartition, long partitionId, int bucket) {
    return new TableBucket(hasPartition ? new PartitionInfo(partitionId, "") : null, bucket);
  }

  @Nullable
  public PartitionInfo partition() {
    return partition;
  }

  public int bucket() {
    return bucket;
  }

  /** The table, or the partition of it, that the bucket belongs to. */
  public TableInfo placeIn(TableInfo table) {
    return partition == null ? table : table.only(partition);
  }

  @Override
  public boolean equals(Object other) {
    if (!(other instanceof TableBucket)) {
      return false;
    }
    TableBucket that = (TableBucket) other;
    return bucket == that.bucket
        && (partition == null
            ? that.partition == null
            : that.partition != null && partition.id() == that.partition.id());
  }

  @Override
  public int hashCode() {
    return 31 * (partition == null ? 0 : Long.hashCode(partition.id())) + bucket;
  }

  @Override
  public String toString() {
    return partition == null ? String.valueOf(bucket) : partition.name() + "/" + bucket;
  }
}
