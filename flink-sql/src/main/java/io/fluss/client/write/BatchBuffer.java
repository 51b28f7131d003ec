package io.fluss.client.write;

/** Rows of one bucket on their way to become a batch. Reused; not thread-safe. */
interface BatchBuffer {
  /** Number of rows. */
  int count();

  /** Size of the rows so far, before compression. */
  long sizeBytes();

  /** Drops the rows behind the first {@code count}. */
  void truncate(int count);

  /** The batch without writer id, sequence and checksum; the buffer starts anew. */
  byte[] buildAndReset();
}
