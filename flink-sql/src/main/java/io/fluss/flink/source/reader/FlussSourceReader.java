package io.fluss.flink.source.reader;

import io.fluss.flink.source.NothingToRead;
import io.fluss.flink.source.RecordDeserializer;
import io.fluss.flink.source.ScanSpec;
import io.fluss.flink.source.split.FlussSplit;
import java.util.Map;
import org.apache.flink.api.connector.source.ReaderOutput;
import org.apache.flink.api.connector.source.SourceEvent;
import org.apache.flink.api.connector.source.SourceReaderContext;
import org.apache.flink.connector.base.source.reader.SingleThreadMultiplexSourceReaderBase;
import org.apache.flink.core.io.InputStatus;

/** Reader of one subtask: one fetcher thread for all its splits. */
public final class FlussSourceReader<T>
    extends SingleThreadMultiplexSourceReaderBase<ScanRecord, T, FlussSplit, SplitState> {

  private final boolean marksIdle;

  /** Whether to find out if there is anything to read; the reader is idle if not. */
  private boolean checkIdle;

  public FlussSourceReader(
      ScanSpec spec, RecordDeserializer<T> deserializer, SourceReaderContext context) {
    this(spec, deserializer, context, new ReaderMetrics(context.metricGroup()));
  }

  private FlussSourceReader(
      ScanSpec spec,
      RecordDeserializer<T> deserializer,
      SourceReaderContext context,
      ReaderMetrics metrics) {
    super(
        () -> new FlussSplitReader(spec, () -> TableAccess.connect(spec), metrics),
        new FlussRecordEmitter<>(
            deserializer, context.metricGroup().getIOMetricGroup().getNumRecordsInCounter()),
        context.getConfiguration(),
        context);
    this.marksIdle = spec.idleAfterMs() > 0;
  }

  @Override
  public InputStatus pollNext(ReaderOutput<T> output) throws Exception {
    InputStatus status = super.pollNext(output);
    if (checkIdle) {
      checkIdle = false;
      if (getNumberOfCurrentlyAssignedSplits() == 0) {
        output.markIdle();
      }
    }
    return status;
  }

  @Override
  public void handleSourceEvents(SourceEvent event) {
    if (event instanceof NothingToRead) {
      checkIdle = marksIdle;
      splitFetcherManager.getQueue().notifyAvailable(); // has pollNext called
    } else {
      super.handleSourceEvents(event);
    }
  }

  @Override
  protected void onSplitFinished(Map<String, SplitState> finishedSplits) {
    // The enumerator gave out all splits at once; there is nothing to request. A reader that goes
    // on without splits, since there may be new partitions, must not hold back the watermark.
    checkIdle = marksIdle;
  }

  @Override
  protected SplitState initializedState(FlussSplit split) {
    return new SplitState(split);
  }

  @Override
  protected FlussSplit toSplitType(String splitId, SplitState state) {
    return state.toSplit();
  }
}
