package io.fluss.client.log;

import io.fluss.client.row.Bytes;
import java.util.zip.CRC32C;

/**
 * Header of a log batch at a position of a buffer. Little-endian; base offset (8), length of the
 * rest (4), magic (1), commit timestamp (8), from magic 2 on leader epoch (4), checksum (4), schema
 * id (2), attributes (1), last offset delta (4), writer id (8), sequence (4), record count (4),
 * from magic 1 on statistics length (4) and statistics.
 *
 * <p>Magic 1 of release 0.9.1 has a leader epoch instead of statistics, but no client writes it.
 */
public final class LogBatchHeader {
  /**
   * Bytes from the base offset to the end of the length field: what a batch's length does not
   * count.
   */
  public static final int LENGTH_OVERHEAD = 12;

  public static final int HEADER_SIZE_V0 = 48;
  private static final int APPEND_ONLY = 1;

  private final byte[] data;
  private final int position;
  private final int size;
  private final byte magic;
  private final int crcPosition;
  private final int recordsPosition;

  private LogBatchHeader(byte[] data, int position, int size) {
    this.data = data;
    this.position = position;
    this.size = size;
    this.magic = data[position + 12];
    if (magic < 0 || magic > 2) {
      throw Bytes.corrupt("a log batch has the unknown magic " + magic);
    }
    crcPosition = position + (magic == 2 ? 25 : 21);
    int fixedSize = magic == 0 ? 48 : magic == 1 ? 52 : 56;
    if (size < fixedSize) {
      throw Bytes.corrupt("a log batch of " + size + " bytes is smaller than its header");
    }
    int statistics = magic == 0 ? 0 : Bytes.getInt(data, position + fixedSize - 4);
    if (statistics < 0 || statistics > size - fixedSize) {
      throw Bytes.corrupt("statistics of a log batch do not match the batch");
    }
    recordsPosition = position + fixedSize + statistics;
    if (recordCount() < 0 || lastOffsetDelta() < 0) {
      throw Bytes.corrupt("a log batch has negative counts");
    }
  }

  /**
   * The batch at {@code position}, or null when the bytes up to {@code limit} end inside it:
   * responses of a server may end in a partial batch.
   */
  public static LogBatchHeader parse(byte[] data, int position, int limit) {
    if (limit - position < HEADER_SIZE_V0) {
      return null;
    }
    int length = Bytes.getInt(data, position + 8);
    if (length < HEADER_SIZE_V0 - LENGTH_OVERHEAD || length > Integer.MAX_VALUE - LENGTH_OVERHEAD) {
      throw Bytes.corrupt("a log batch states the length " + length);
    }
    int size = length + LENGTH_OVERHEAD;
    return size > limit - position ? null : new LogBatchHeader(data, position, size);
  }

  public byte[] data() {
    return data;
  }

  /** Bytes of the whole batch. */
  public int size() {
    return size;
  }

  public int endPosition() {
    return position + size;
  }

  public long baseOffset() {
    return Bytes.getLong(data, position);
  }

  /** Milliseconds since the epoch. */
  public long commitTimestamp() {
    return Bytes.getLong(data, position + 13);
  }

  public int schemaId() {
    return Bytes.getShort(data, crcPosition + 4);
  }

  public boolean appendOnly() {
    return (data[crcPosition + 6] & APPEND_ONLY) != 0;
  }

  public int lastOffsetDelta() {
    return Bytes.getInt(data, crcPosition + 7);
  }

  /** Offset after the batch; a batch without records takes one offset too. */
  public long nextOffset() {
    return baseOffset() + lastOffsetDelta() + 1;
  }

  public long writerId() {
    return Bytes.getLong(data, crcPosition + 11);
  }

  public int batchSequence() {
    return Bytes.getInt(data, crcPosition + 19);
  }

  public int recordCount() {
    return Bytes.getInt(data, crcPosition + 23);
  }

  /** Where change types (unless append-only) and records start. */
  public int recordsPosition() {
    return recordsPosition;
  }

  /** Whether the checksum over everything from the schema id on is right. */
  public boolean crcMatches() {
    CRC32C crc = new CRC32C();
    crc.update(data, crcPosition + 4, endPosition() - crcPosition - 4);
    return (int) crc.getValue() == Bytes.getInt(data, crcPosition);
  }

  /** A magic 0 append-only batch of a writer, without writer id, sequence and checksum. */
  static void writeAppendOnly(byte[] batch, int schemaId, int recordCount) {
    Bytes.putInt(batch, 8, batch.length - LENGTH_OVERHEAD);
    Bytes.putShort(batch, 25, (short) schemaId);
    batch[27] = APPEND_ONLY;
    Bytes.putInt(batch, 28, Math.max(0, recordCount - 1));
    Bytes.putInt(batch, 44, recordCount);
  }

  /** Writes writer id and sequence (-1 and -1: none) of a magic 0 batch, then the checksum. */
  public static void stamp(byte[] batch, long writerId, int sequence) {
    Bytes.putLong(batch, 32, writerId);
    Bytes.putInt(batch, 40, sequence);
    CRC32C crc = new CRC32C();
    crc.update(batch, 25, batch.length - 25);
    Bytes.putInt(batch, 21, (int) crc.getValue());
  }
}
