package io.fluss.flink.table;

import java.util.Optional;
import javax.annotation.Nullable;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.connector.source.Source;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.DataStreamSource;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.connector.ProviderContext;
import org.apache.flink.table.connector.source.DataStreamScanProvider;
import org.apache.flink.table.data.RowData;

/** An unbounded scan that makes its own watermarks, per bucket. */
final class StreamingScanProvider implements DataStreamScanProvider {

  private static final String UID = "fluss-source";

  private final Source<RowData, ?, ?> source;
  private final WatermarkStrategy<RowData> watermarkStrategy;
  private final String name;
  @Nullable private final Integer parallelism;

  StreamingScanProvider(
      Source<RowData, ?, ?> source,
      WatermarkStrategy<RowData> watermarkStrategy,
      String name,
      @Nullable Integer parallelism) {
    this.source = source;
    this.watermarkStrategy = watermarkStrategy;
    this.name = name;
    this.parallelism = parallelism;
  }

  @Override
  public DataStream<RowData> produceDataStream(
      ProviderContext context, StreamExecutionEnvironment environment) {
    DataStreamSource<RowData> stream = environment.fromSource(source, watermarkStrategy, name);
    context.generateUid(UID).ifPresent(stream::uid);
    if (parallelism != null) {
      stream.setParallelism(parallelism);
    }
    return stream;
  }

  @Override
  public boolean isBounded() {
    return false;
  }

  @Override
  public Optional<Integer> getParallelism() {
    return Optional.ofNullable(parallelism);
  }
}
