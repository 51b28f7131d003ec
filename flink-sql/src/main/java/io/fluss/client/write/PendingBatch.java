package io.fluss.client.write;

import io.fluss.client.FlussException;

/** A finished batch that is not acknowledged yet. Guarded by its sender's lock. */
final class PendingBatch {
  final int bucket;

  /** Position among the batches of its bucket, from 0. */
  final long index;

  final byte[] bytes;

  /**
   * Sequence number; -1 until it is first sent, and again after its bucket got another writer id.
   */
  int sequence = -1;

  boolean stamped;
  int attempts;

  /** How the last attempt failed, until it is queued again. */
  FlussException error;

  PendingBatch(int bucket, long index, byte[] bytes) {
    this.bucket = bucket;
    this.index = index;
    this.bytes = bytes;
  }
}
