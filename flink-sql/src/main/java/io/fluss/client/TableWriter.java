package io.fluss.client;

import java.io.IOException;

/**
 * What the two writers share. Rows are gathered into one batch per bucket and sent in the
 * background; batches carry a writer id and sequence numbers, so that a repeated send is stored
 * once.
 *
 * <p>Thread-safe. A batch is sent when it is full, when {@code client.writer.batch-timeout} has
 * passed, or on {@link #flush()}. A call blocks while {@code client.writer.buffer.memory-size}
 * bytes are waiting. After an error that repeating does not cure every call throws it and the
 * writer must be closed.
 */
public interface TableWriter extends AutoCloseable {
  /**
   * Sends what was gathered and waits until the server acknowledged everything written before the
   * call.
   *
   * @throws IOException when a batch could not be written; the cause is the {@link FlussException}
   */
  void flush() throws IOException;

  /** Bytes that were sent (or are being sent) to the server since the writer was opened. */
  long bytesSent();

  /** Drops what was not flushed and releases the memory. */
  @Override
  void close();
}
