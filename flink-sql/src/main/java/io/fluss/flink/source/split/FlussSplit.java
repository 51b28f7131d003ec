package io.fluss.flink.source.split;

import java.util.Objects;
import org.apache.flink.api.connector.source.SourceSplit;

/** One piece of a scan: a bucket of one table and where to go on reading it. Immutable. */
public abstract class FlussSplit implements SourceSplit {

  private final long tableId;
  private final int bucket;

  FlussSplit(long tableId, int bucket) {
    this.tableId = tableId;
    this.bucket = bucket;
  }

  /** The table's id, which changes when a table of the same name is created again. */
  public final long tableId() {
    return tableId;
  }

  public final int bucket() {
    return bucket;
  }

  abstract String kind();

  @Override
  public final String splitId() {
    return kind() + "-" + tableId + "-" + bucket;
  }

  @Override
  public boolean equals(Object other) {
    if (other == null || other.getClass() != getClass()) {
      return false;
    }
    FlussSplit that = (FlussSplit) other;
    return tableId == that.tableId && bucket == that.bucket;
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
