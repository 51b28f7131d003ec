package io.fluss.flink.source.reader;

import io.fluss.flink.source.RecordDeserializer;
import org.apache.flink.api.connector.source.SourceOutput;
import org.apache.flink.connector.base.source.reader.RecordEmitter;

/**
 * Emits rows, with the commit time of their batch as timestamp, and moves the split behind them.
 */
final class FlussRecordEmitter<T> implements RecordEmitter<ScanRecord, T, SplitState> {

  private final RecordDeserializer<T> deserializer;

  FlussRecordEmitter(RecordDeserializer<T> deserializer) {
    this.deserializer = deserializer;
  }

  @Override
  public void emitRecord(ScanRecord record, SourceOutput<T> output, SplitState state) {
    T value = deserializer.deserialize(record.row());
    if (record.timestamp() == ScanRecord.NO_TIMESTAMP) {
      output.collect(value);
    } else {
      output.collect(value, record.timestamp());
    }
    state.advance(record);
  }
}
