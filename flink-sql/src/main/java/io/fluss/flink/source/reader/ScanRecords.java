package io.fluss.flink.source.reader;

import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.Set;
import javax.annotation.Nullable;
import org.apache.flink.connector.base.source.reader.RecordsWithSplitIds;

/** What one fetch brought. */
final class ScanRecords implements RecordsWithSplitIds<ScanRecord> {

  private final Iterator<SplitBatch> batches;
  private final Set<String> finishedSplits;
  private final ScanRecord record = new ScanRecord();
  @Nullable private SplitBatch current;

  ScanRecords(List<SplitBatch> batches, Set<String> finishedSplits) {
    this.batches = batches.iterator();
    this.finishedSplits = finishedSplits;
  }

  static ScanRecords empty() {
    return new ScanRecords(Collections.emptyList(), Collections.emptySet());
  }

  @Nullable
  @Override
  public String nextSplit() {
    current = batches.hasNext() ? batches.next() : null;
    return current == null ? null : current.splitId();
  }

  @Nullable
  @Override
  public ScanRecord nextRecordFromSplit() {
    return current != null && current.next(record) ? record : null;
  }

  @Override
  public Set<String> finishedSplits() {
    return finishedSplits;
  }
}
