package io.fluss.flink.source;

import io.fluss.flink.source.enumerator.ClientSplitPlanner;
import io.fluss.flink.source.enumerator.EnumeratorState;
import io.fluss.flink.source.enumerator.EnumeratorStateSerializer;
import io.fluss.flink.source.enumerator.FlussSplitEnumerator;
import io.fluss.flink.source.reader.FlussSourceReader;
import io.fluss.flink.source.split.FlussSplit;
import io.fluss.flink.source.split.FlussSplitSerializer;
import java.util.Objects;
import javax.annotation.Nullable;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.connector.source.Boundedness;
import org.apache.flink.api.connector.source.Source;
import org.apache.flink.api.connector.source.SourceReader;
import org.apache.flink.api.connector.source.SourceReaderContext;
import org.apache.flink.api.connector.source.SplitEnumerator;
import org.apache.flink.api.connector.source.SplitEnumeratorContext;
import org.apache.flink.api.java.typeutils.ResultTypeQueryable;
import org.apache.flink.core.io.SimpleVersionedSerializer;

/**
 * Reads a Fluss table. Positions are part of Flink's checkpoints, so a job that is restored neither
 * loses nor repeats a row.
 *
 * @param <T> what is emitted for a row
 */
public final class FlussSource<T>
    implements Source<T, FlussSplit, EnumeratorState>, ResultTypeQueryable<T> {

  private static final long serialVersionUID = 1L;

  private final ScanSpec spec;
  private final RecordDeserializer<T> deserializer;

  public FlussSource(ScanSpec spec, RecordDeserializer<T> deserializer) {
    this.spec = Objects.requireNonNull(spec);
    this.deserializer = Objects.requireNonNull(deserializer);
  }

  /** Builder of a source that emits {@link org.apache.flink.types.Row}s. */
  public static FlussSourceBuilder builder() {
    return new FlussSourceBuilder();
  }

  @Override
  public Boundedness getBoundedness() {
    return spec.isBounded() ? Boundedness.BOUNDED : Boundedness.CONTINUOUS_UNBOUNDED;
  }

  @Override
  public SplitEnumerator<FlussSplit, EnumeratorState> createEnumerator(
      SplitEnumeratorContext<FlussSplit> context) {
    return restoreEnumerator(context, null);
  }

  @Override
  public SplitEnumerator<FlussSplit, EnumeratorState> restoreEnumerator(
      SplitEnumeratorContext<FlussSplit> context, @Nullable EnumeratorState checkpoint) {
    return new FlussSplitEnumerator(
        context, new ClientSplitPlanner(spec), checkpoint, spec.discoveryIntervalMs());
  }

  @Override
  public SourceReader<T, FlussSplit> createReader(SourceReaderContext context) {
    return new FlussSourceReader<>(spec, deserializer, context);
  }

  @Override
  public SimpleVersionedSerializer<FlussSplit> getSplitSerializer() {
    return FlussSplitSerializer.INSTANCE;
  }

  @Override
  public SimpleVersionedSerializer<EnumeratorState> getEnumeratorCheckpointSerializer() {
    return EnumeratorStateSerializer.INSTANCE;
  }

  @Override
  public TypeInformation<T> getProducedType() {
    return deserializer.getProducedType();
  }
}
