package io.fluss.client.write;

import io.fluss.client.ClientOptions;
import io.fluss.client.ErrorCode;
import io.fluss.client.FlussException;
import io.fluss.client.TableInfo;
import io.fluss.client.TableWriter;
import io.fluss.client.row.BatchBuffer;
import io.fluss.client.rpc.ClientContext;
import io.fluss.client.rpc.MemoryBudget;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.util.ArrayDeque;
import java.util.concurrent.locks.ReentrantLock;
import org.apache.flink.table.data.RowData;

/**
 * Gathers rows in one buffer per bucket and hands full or old ones to the {@link BatchSender}. Rows
 * are encoded, and batches built and compressed, in the caller's thread; only batches that grow old
 * are built by the timer.
 */
abstract class BatchingWriter<B extends BatchBuffer> implements TableWriter {
  /** Growth of open buffers is noted in steps of this size. */
  private static final long ACCOUNTING_STEP_BYTES = 64 * 1024;

  private static final int MAX_SPARE_BUFFERS = 4;
  private static final long BUSY_RETRY_MS = 2;

  private final ClientContext context;
  private final ClientOptions options;
  private final MemoryBudget memory;
  private final BatchSender sender;
  private final long batchTimeoutNanos;

  /** Lock of the buffers, and of the encoders of the subclasses. Taken before the sender's lock. */
  private final ReentrantLock appendLock = new ReentrantLock();

  private final Open<B>[] open;
  private final ArrayDeque<B> spare = new ArrayDeque<>();
  private boolean timerSet;
  private boolean closed;

  /** A buffer with rows. */
  private static final class Open<B> {
    private final B buffer;
    private final long sinceNanos = System.nanoTime();
    private long accountedBytes;

    Open(B buffer) {
      this.buffer = buffer;
    }
  }

  @SuppressWarnings("unchecked")
  BatchingWriter(ClientContext context, TableInfo table, BatchTarget target) {
    this.context = context;
    this.options = context.options();
    this.memory = context.writerMemory();
    this.batchTimeoutNanos = options.writerBatchTimeout().toNanos();
    this.open = new Open[table.bucketCount()];
    this.sender = new BatchSender(context, table, target);
  }

  abstract B newBuffer();

  /** The bucket of a row; called before {@link #add} with the same row, under the append lock. */
  abstract int route(RowData row);

  /** Adds the row to a buffer, or nothing when it throws. */
  abstract void add(B buffer, RowData row, boolean delete);

  /** Called after the buffer of a bucket was handed over. */
  void onBatchClosed(int bucket) {}

  final void write(RowData row, boolean delete) throws IOException {
    checkUsable();
    if (!memory.hasCapacity()) {
      awaitMemory();
    }
    appendLock.lock();
    try {
      if (closed) {
        throw new IllegalStateException("the writer is closed");
      }
      int bucket = route(row);
      append(bucket, row, delete);
      Open<B> current = open[bucket];
      long size = current.buffer.sizeBytes();
      if (size >= options.writerBatchSize()) {
        closeBatch(bucket);
      } else if (size - current.accountedBytes >= ACCOUNTING_STEP_BYTES) {
        memory.add(size - current.accountedBytes);
        current.accountedBytes = size;
      }
    } finally {
      appendLock.unlock();
    }
  }

  private void append(int bucket, RowData row, boolean delete) {
    int maxBytes = BatchSender.maxBatchBytes(options);
    for (boolean first = true; ; first = false) {
      Open<B> current = open[bucket];
      if (current == null) {
        B buffer = spare.isEmpty() ? newBuffer() : spare.pop();
        try {
          add(buffer, row, delete);
        } catch (RuntimeException e) {
          recycle(buffer);
          throw e;
        }
        if (buffer.sizeBytes() > maxBytes) {
          long size = buffer.sizeBytes();
          buffer.truncate(0);
          throw new FlussException(
              ErrorCode.RECORD_TOO_LARGE_EXCEPTION,
              "a row of about "
                  + size
                  + " bytes is larger than client.writer.request-max-size ("
                  + options.maxRequestSize()
                  + " bytes) allows");
        }
        open[bucket] = new Open<>(buffer);
        setTimer();
        return;
      }
      add(current.buffer, row, delete);
      if (current.buffer.sizeBytes() <= maxBytes || !first) {
        return;
      }
      // The row alone may be small enough: it starts the next batch.
      current.buffer.truncate(current.buffer.count() - 1);
      closeBatch(bucket);
    }
  }

  private void closeBatch(int bucket) {
    Open<B> current = open[bucket];
    if (current == null) {
      return;
    }
    open[bucket] = null;
    byte[] batch = current.buffer.buildAndReset();
    recycle(current.buffer);
    memory.add(batch.length - current.accountedBytes);
    sender.enqueue(bucket, batch);
    onBatchClosed(bucket);
  }

  private void recycle(B buffer) {
    if (spare.size() < MAX_SPARE_BUFFERS) {
      spare.push(buffer);
    }
  }

  private void closeAll() {
    for (int bucket = 0; bucket < open.length; bucket++) {
      closeBatch(bucket);
    }
  }

  private void setTimer() {
    if (!timerSet) {
      timerSet = true;
      context.schedule(Math.max(1, batchTimeoutNanos / 1_000_000), this::onTimer);
    }
  }

  /** Hands over the buffers that have grown old. */
  private void onTimer() {
    if (!appendLock.tryLock()) {
      // A caller is at work, perhaps compressing: the timer thread, which others need too, does not
      // wait for it.
      context.schedule(BUSY_RETRY_MS, this::onTimer);
      return;
    }
    try {
      timerSet = false;
      if (closed) {
        return;
      }
      long now = System.nanoTime();
      long nextNanos = Long.MAX_VALUE;
      for (int bucket = 0; bucket < open.length; bucket++) {
        if (open[bucket] != null) {
          long leftNanos = batchTimeoutNanos - (now - open[bucket].sinceNanos);
          if (leftNanos <= 0) {
            closeBatch(bucket);
          } else {
            nextNanos = Math.min(nextNanos, leftNanos);
          }
        }
      }
      if (nextNanos != Long.MAX_VALUE) {
        timerSet = true;
        context.schedule(nextNanos / 1_000_000 + 1, this::onTimer);
      }
    } finally {
      appendLock.unlock();
    }
  }

  private void awaitMemory() throws IOException {
    appendLock.lock();
    try {
      closeAll();
    } finally {
      appendLock.unlock();
    }
    try {
      if (!memory.awaitCapacity(options.writerMemoryTimeout(), () -> sender.failure() != null)) {
        throw new FlussException(
            ErrorCode.REQUEST_TIME_OUT,
            "no memory for another row within client.writer.buffer.wait-timeout");
      }
    } catch (InterruptedException e) {
      throw interrupted();
    }
    checkUsable();
  }

  private void checkUsable() throws IOException {
    FlussException failure = sender.failure();
    if (failure != null) {
      throw new IOException("Writing failed: " + failure.getMessage(), failure);
    }
  }

  private static IOException interrupted() {
    Thread.currentThread().interrupt();
    return new InterruptedIOException("interrupted while writing");
  }

  /** Begins to send everything that was gathered. */
  final void send() throws IOException {
    checkUsable();
    appendLock.lock();
    try {
      closeAll();
    } finally {
      appendLock.unlock();
    }
  }

  @Override
  public final void flush() throws IOException {
    send();
    try {
      sender.awaitAcknowledged();
    } catch (InterruptedException e) {
      throw interrupted();
    }
    checkUsable();
  }

  @Override
  public final long bytesSent() {
    return sender.bytesSent();
  }

  @Override
  public final void close() {
    appendLock.lock();
    try {
      if (closed) {
        return;
      }
      closed = true;
      for (Open<B> buffer : open) {
        if (buffer != null) {
          memory.add(-buffer.accountedBytes);
        }
      }
    } finally {
      appendLock.unlock();
    }
    sender.close();
  }
}
