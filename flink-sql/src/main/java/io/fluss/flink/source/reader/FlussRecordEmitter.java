package io.fluss.flink.source.reader;

import io.fluss.flink.source.RecordDeserializer;
import org.apache.flink.api.connector.source.SourceOutput;
import org.apache.flink.connector.base.source.reader.RecordEmitter;
import org.apache.flink.metrics.Counter;

/** Emits rows, with the commit time of their batch as timestamp, and moves the split past them. */
final class FlussRecordEmitter<T> implements RecordEmitter<ScanRecord, T, SplitState> {

  private final RecordDeserializer<T> deserializer;
  private final Counter recordsIn;

  /**
   * @param recordsIn what Flink counts the records of the reader with
   */
  FlussRecordEmitter(RecordDeserializer<T> deserializer, Counter recordsIn) {
    this.deserializer = deserializer;
    this.recordsIn = recordsIn;
  }

  @Override
  public void emitRecord(ScanRecord record, SourceOutput<T> output, SplitState state) {
    if (record.isIdleMark()) {
      output.markIdle();
      recordsIn.dec(); // Flink has counted the mark as a record
      return;
    }
    T value = deserializer.deserialize(record.row());
    if (record.timestamp() == ScanRecord.NO_TIMESTAMP) {
      output.collect(value);
    } else {
      output.collect(value, record.timestamp());
    }
    state.advance(record);
  }
}
