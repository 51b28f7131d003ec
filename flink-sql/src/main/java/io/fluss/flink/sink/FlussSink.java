package io.fluss.flink.sink;

import java.util.Objects;
import javax.annotation.Nullable;
import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.api.connector.sink2.SinkWriter;
import org.apache.flink.api.connector.sink2.WriterInitContext;
import org.apache.flink.streaming.api.connector.sink2.SupportsPreWriteTopology;
import org.apache.flink.streaming.api.datastream.DataStream;

/**
 * Writes to a Fluss table: appends to a log table, upserts and deletes in a primary-key table.
 *
 * <p>All rows before a checkpoint or the end of the input are acknowledged by the server before it
 * completes. After a failure rows since the last checkpoint are written again: a primary-key table
 * ends with the same state, a log table may hold these rows twice.
 *
 * @param <T> what arrives
 */
public final class FlussSink<T> implements Sink<T>, SupportsPreWriteTopology<T> {

  private static final long serialVersionUID = 1L;

  private final SinkSpec spec;
  private final RowSerializer<T> serializer;
  @Nullable private final BucketShuffle shuffle;
  private final boolean followsInput;

  /**
   * @param shuffle how rows are distributed before they are written; null: not at all
   * @param followsInput whether the sink has as many subtasks as its input, so that a single one
   *     needs no shuffle
   */
  public FlussSink(
      SinkSpec spec,
      RowSerializer<T> serializer,
      @Nullable BucketShuffle shuffle,
      boolean followsInput) {
    this.spec = Objects.requireNonNull(spec);
    this.serializer = Objects.requireNonNull(serializer);
    this.shuffle = shuffle;
    this.followsInput = followsInput;
  }

  /** Builder of a sink of {@link org.apache.flink.types.Row}s. */
  public static FlussSinkBuilder builder() {
    return new FlussSinkBuilder();
  }

  @Override
  public SinkWriter<T> createWriter(WriterInitContext context) {
    return new FlussSinkWriter<>(RowWriter.connect(spec), serializer, context.metricGroup());
  }

  @Override
  public DataStream<T> addPreWriteTopology(DataStream<T> rows) {
    if (shuffle == null || followsInput && rows.getParallelism() == 1) {
      return rows;
    }
    return shuffle.apply(rows, serializer);
  }
}
