package io.fluss.client.row;

/** Rows of one bucket on their way to become a batch. Reused; not thread-safe. */
public interface BatchBuffer {
  /** Number of rows. */
  int count();

  /** Size of the rows so far, before compression. */
  long sizeBytes();

  /** Drops the last row (count one less), or all of them (count 0). */
  void truncate(int count);

  /** The batch without writer id, sequence and checksum; the buffer starts again. */
  byte[] buildAndReset();
}
