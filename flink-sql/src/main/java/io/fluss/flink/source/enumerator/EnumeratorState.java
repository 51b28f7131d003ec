package io.fluss.flink.source.enumerator;

import io.fluss.flink.source.split.FlussSplit;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;

/** What a checkpoint keeps of the enumerator. */
public final class EnumeratorState {

  private final boolean planned;
  private final List<FlussSplit> unassigned;
  private final Set<Long> partitions;

  /** The state of a scan of a table without partitions. */
  public EnumeratorState(boolean planned, Collection<FlussSplit> unassigned) {
    this(planned, unassigned, Collections.emptySet());
  }

  /**
   * @param planned whether the splits were made; if not, a restored enumerator makes them
   * @param unassigned splits that no reader has
   * @param partitions ids of the partitions whose splits were made
   */
  public EnumeratorState(
      boolean planned, Collection<FlussSplit> unassigned, Collection<Long> partitions) {
    this.planned = planned;
    this.unassigned = Collections.unmodifiableList(new ArrayList<>(unassigned));
    this.partitions = Collections.unmodifiableSet(new TreeSet<>(partitions));
  }

  public Set<Long> partitions() {
    return partitions;
  }

  public boolean isPlanned() {
    return planned;
  }

  public List<FlussSplit> unassigned() {
    return unassigned;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof EnumeratorState
        && planned == ((EnumeratorState) other).planned
        && unassigned.equals(((EnumeratorState) other).unassigned)
        && partitions.equals(((EnumeratorState) other).partitions);
  }

  @Override
  public int hashCode() {
    return Objects.hash(planned, unassigned);
  }

  @Override
  public String toString() {
    return (planned ? "planned, unassigned " : "not planned") + unassigned;
  }
}
