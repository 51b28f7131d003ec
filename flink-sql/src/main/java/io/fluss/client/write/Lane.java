package io.fluss.client.write;

import io.fluss.client.rpc.Backoff;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;

/**
 * Batches of one bucket in the order of their sequence numbers: first those in flight, then those
 * that wait. Guarded by its sender's lock.
 *
 * <p>After a failed batch nothing more is sent until every batch in flight has settled; then all
 * failed ones go back to the front of the queue, in order. So a server never sees a later batch
 * before an earlier one.
 */
final class Lane {
  final int bucket;
  final ArrayDeque<PendingBatch> queue = new ArrayDeque<>();
  final List<PendingBatch> inFlight = new ArrayList<>();
  final Backoff backoff = Backoff.standard();
  long writerId;
  int nextSequence;
  long nextIndex;

  /** A batch failed and others are still in flight. */
  boolean recovering;

  /** A new writer id is being requested. */
  boolean resetting;

  long retryAtNanos = System.nanoTime();

  /** 0 while all is well, else since when the bucket could not be written. */
  long failingSinceNanos;

  Lane(int bucket, long writerId) {
    this.bucket = bucket;
    this.writerId = writerId;
  }

  PendingBatch enqueue(byte[] bytes) {
    PendingBatch batch = new PendingBatch(bucket, nextIndex++, bytes);
    queue.add(batch);
    return batch;
  }

  /**
   * Whether the next batch may go. What counts is its distance from the oldest batch in flight, not
   * how many are in flight: responses overtake each other, and a server recognises a repeated batch
   * only among the last five.
   */
  boolean maySend(int maxInFlight, long nowNanos) {
    return !queue.isEmpty()
        && !recovering
        && !resetting
        && (inFlight.isEmpty() || queue.peek().index - inFlight.get(0).index < maxInFlight)
        && nowNanos - retryAtNanos >= 0;
  }

  /** The sequence number for the next batch; they wrap to 0. */
  int takeSequence() {
    int sequence = nextSequence;
    nextSequence = nextSequence + 1 & Integer.MAX_VALUE;
    return sequence;
  }

  boolean allSettled() {
    for (PendingBatch batch : inFlight) {
      if (batch.error == null) {
        return false;
      }
    }
    return true;
  }

  /** Moves the failed batches back to the front of the queue. */
  void requeue() {
    for (int i = inFlight.size() - 1; i >= 0; i--) {
      inFlight.get(i).error = null;
      queue.addFirst(inFlight.get(i));
    }
    inFlight.clear();
    recovering = false;
  }

  /** Whether a batch with an index below {@code index} is not acknowledged. */
  boolean hasOutstandingBelow(long index) {
    return !inFlight.isEmpty() && inFlight.get(0).index < index
        || !queue.isEmpty() && queue.peek().index < index;
  }
}
