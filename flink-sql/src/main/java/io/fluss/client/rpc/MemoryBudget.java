package io.fluss.client.rpc;

import java.time.Duration;
import java.util.function.BooleanSupplier;

/**
 * Bytes that writers hold. Taking never fails: a writer waits for capacity before it takes on more.
 * Thread-safe.
 */
public final class MemoryBudget {
  private static final long MAX_WAIT_MS = 100;

  private final long limit;
  private volatile long used;
  private volatile boolean closed;

  public MemoryBudget(long limit) {
    this.limit = limit;
  }

  /** Notes that {@code bytes} more (or, negative, fewer) are held. */
  public synchronized void add(long bytes) {
    used += bytes;
    if (bytes < 0 && used < limit) {
      notifyAll();
    }
  }

  public long used() {
    return used;
  }

  public boolean hasCapacity() {
    return used < limit || closed;
  }

  /**
   * Waits until there is capacity or {@code cancelled} says that waiting is pointless.
   *
   * @return false after the time
   */
  public synchronized boolean awaitCapacity(Duration timeout, BooleanSupplier cancelled)
      throws InterruptedException {
    long start = System.nanoTime();
    while (used >= limit && !closed && !cancelled.getAsBoolean()) {
      if (System.nanoTime() - start > timeout.toNanos()) {
        return false;
      }
      wait(MAX_WAIT_MS);
    }
    return true;
  }

  synchronized void close() {
    closed = true;
    notifyAll();
  }
}
