package io.fluss.flink.sink;

import java.io.IOException;
import org.apache.flink.api.connector.sink2.SinkWriter;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.groups.SinkWriterMetricGroup;

/** Writer of one subtask. */
final class FlussSinkWriter<T> implements SinkWriter<T> {

  private final RowWriter writer;
  private final RowSerializer<T> serializer;

  private final Counter recordsSent;
  private final Counter bytesSent;
  private final Counter errors;
  private long countedBytes;
  private volatile long lastFlushMs;

  FlussSinkWriter(RowWriter writer, RowSerializer<T> serializer, SinkWriterMetricGroup metrics) {
    this.writer = writer;
    this.serializer = serializer;
    // In Flink this counter is the operator's numRecordsOut as well.
    this.recordsSent = metrics.getNumRecordsSendCounter();
    this.bytesSent = metrics.getNumBytesSendCounter();
    this.errors = metrics.getNumRecordsOutErrorsCounter();
    metrics.setCurrentSendTimeGauge(() -> lastFlushMs);
  }

  @Override
  public void write(T element, Context context) throws IOException {
    try {
      if (writer.write(serializer.rowOf(element))) {
        recordsSent.inc();
      }
    } catch (IOException | RuntimeException e) {
      errors.inc();
      throw e;
    }
  }

  @Override
  public void flush(boolean endOfInput) throws IOException {
    long start = System.nanoTime();
    writer.flush();
    lastFlushMs = (System.nanoTime() - start) / 1_000_000;
    long sent = writer.bytesSent();
    bytesSent.inc(sent - countedBytes);
    countedBytes = sent;
  }

  @Override
  public void close() throws Exception {
    writer.close();
  }
}
