package io.fluss.flink.source.enumerator;

import io.fluss.flink.source.split.FlussSplit;
import java.util.Collections;
import java.util.List;
import java.util.Set;

/** Makes the splits of a scan. Called outside of the coordinator's thread. */
public interface SplitPlanner {

  /** The splits of what there is when the scan starts. */
  List<FlussSplit> plan() throws Exception;

  /**
   * The splits of partitions that were created since; they are read from their beginning.
   *
   * @param known ids of the partitions that have splits already
   */
  default List<FlussSplit> planNew(Set<Long> known) throws Exception {
    return Collections.emptyList();
  }
}
