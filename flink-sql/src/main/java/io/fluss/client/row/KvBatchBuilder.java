package io.fluss.client.row;

import java.util.zip.CRC32C;
import org.apache.flink.table.data.RowData;

/**
 * Batch of key-value records (magic 0): a 28-byte header, then per record {@code [int32 length of
 * the rest][varint key length][key][row bytes]}; a record without row bytes is a delete. {@link
 * #stamp} completes a batch.
 */
public final class KvBatchBuilder implements BatchBuffer {
  static final int HEADER_SIZE = 28;
  private static final int CRC_POSITION = 5;
  private static final int CRC_START = 9;

  private final int schemaId;
  private final ByteOutput out;
  private int count;
  private int lastStart;

  public KvBatchBuilder(int schemaId, int capacity) {
    this.schemaId = schemaId;
    this.out = new ByteOutput(capacity);
    out.zeros(HEADER_SIZE);
  }

  /** Adds a put of the row. A row that cannot be encoded leaves the batch as it was. */
  public void put(byte[] key, int keyLength, RowEncoder encoder, RowData row, boolean[] columns) {
    int start = out.size();
    try {
      beginRecord(key, keyLength);
      encoder.encode(row, columns, out);
    } catch (RuntimeException e) {
      out.size(start);
      throw e;
    }
    endRecord(start);
  }

  /** Adds a delete. */
  public void delete(byte[] key, int keyLength) {
    int start = out.size();
    beginRecord(key, keyLength);
    endRecord(start);
  }

  private void beginRecord(byte[] key, int keyLength) {
    out.writeInt(0);
    out.writeVarInt(keyLength);
    out.writeBytes(key, 0, keyLength);
  }

  private void endRecord(int start) {
    out.putInt(start, out.size() - start - 4);
    lastStart = start;
    count++;
  }

  @Override
  public int count() {
    return count;
  }

  @Override
  public long sizeBytes() {
    return out.size();
  }

  @Override
  public void truncate(int newCount) {
    if (newCount == 0) {
      out.size(HEADER_SIZE);
    } else if (newCount == count - 1) {
      out.size(lastStart);
    } else {
      throw new IllegalArgumentException("only the last record can be dropped");
    }
    count = newCount;
  }

  @Override
  public byte[] buildAndReset() {
    byte[] batch = out.toByteArray();
    Bytes.putInt(batch, 0, batch.length - 4);
    Bytes.putShort(batch, 9, (short) schemaId);
    Bytes.putInt(batch, 24, count);
    truncate(0);
    return batch;
  }

  /** Writes writer id and sequence (-1 and -1: none), then the checksum. */
  public static void stamp(byte[] batch, long writerId, int sequence) {
    Bytes.putLong(batch, 12, writerId);
    Bytes.putInt(batch, 20, sequence);
    CRC32C crc = new CRC32C();
    crc.update(batch, CRC_START, batch.length - CRC_START);
    Bytes.putInt(batch, CRC_POSITION, (int) crc.getValue());
  }
}
