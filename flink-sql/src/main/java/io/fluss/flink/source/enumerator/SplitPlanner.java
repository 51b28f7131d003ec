package io.fluss.flink.source.enumerator;

import io.fluss.flink.source.split.FlussSplit;
import java.util.List;

/** Makes the splits of a scan. Called outside of the coordinator's thread. */
public interface SplitPlanner {

  List<FlussSplit> plan() throws Exception;
}
