package io.fluss.flink.source.split;

import io.fluss.client.PartitionInfo;
import io.fluss.client.TableBucket;
import java.util.Objects;
import org.apache.flink.api.connector.source.SourceSplit;

/** One piece of a scan: a bucket of one table or partition and where to go on. Immutable. */
public abstract class FlussSplit implements SourceSplit {

  private final long tableId;
  private final TableBucket bucket;

  FlussSplit(long tableId, TableBucket bucket) {
    this.tableId = tableId;
    this.bucket = bucket;
  }

  /** The table's id, which changes when a table of the same name is created again. */
  public final long tableId() {
    return tableId;
  }

  public final TableBucket bucket() {
    return bucket;
  }

  abstract String kind();

  @Override
  public final String splitId() {
    PartitionInfo partition = bucket.partition();
    return kind()
        + "-"
        + tableId
        + (partition == null ? "" : "-p" + partition.id())
        + "-"
        + bucket.bucket();
  }

  @Override
  public boolean equals(Object other) {
    if (other == null || other.getClass() != getClass()) {
      return false;
    }
    FlussSplit that = (FlussSplit) other;
    return tableId == that.tableId && bucket.equals(that.bucket);
  }

  @Override
  public int hashCode() {
    return Objects.hash(getClass(), tableId, bucket);
  }

  @Override
  public String toString() {
    return splitId();
  }
}
