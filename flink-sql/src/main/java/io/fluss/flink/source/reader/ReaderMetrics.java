package io.fluss.flink.source.reader;

import org.apache.flink.metrics.Gauge;
import org.apache.flink.metrics.groups.SourceReaderMetricGroup;

/**
 * The source metrics that only the fetcher knows, under Flink's standard names. Records in and the
 * lag at emission are counted by Flink itself.
 */
public final class ReaderMetrics {

  private volatile long pendingRecords;
  private volatile long fetchLagMs;

  /** Registers the metrics of one reader. */
  public ReaderMetrics(SourceReaderMetricGroup group) {
    group.setPendingRecordsGauge(() -> pendingRecords);
    group.gauge("currentFetchEventTimeLag", (Gauge<Long>) () -> fetchLagMs);
  }

  /**
   * Notes what a fetch brought.
   *
   * @param timestampMs commit time of the newest record
   */
  void fetched(long timestampMs) {
    fetchLagMs = System.currentTimeMillis() - timestampMs;
  }

  /** Notes how many records are readable and not read. */
  void pending(long records) {
    pendingRecords = records;
  }
}
