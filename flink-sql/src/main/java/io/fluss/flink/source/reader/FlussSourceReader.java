package io.fluss.flink.source.reader;

import io.fluss.flink.source.RecordDeserializer;
import io.fluss.flink.source.ScanSpec;
import io.fluss.flink.source.split.FlussSplit;
import java.util.Map;
import org.apache.flink.api.connector.source.SourceReaderContext;
import org.apache.flink.connector.base.source.reader.SingleThreadMultiplexSourceReaderBase;

/** Reader of one subtask: one fetcher thread for all its splits. */
public final class FlussSourceReader<T>
    extends SingleThreadMultiplexSourceReaderBase<ScanRecord, T, FlussSplit, SplitState> {

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
        new FlussRecordEmitter<>(deserializer),
        context.getConfiguration(),
        context);
  }

  @Override
  protected void onSplitFinished(Map<String, SplitState> finishedSplits) {
    // The enumerator gave out all splits at once; there is nothing to ask for.
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
