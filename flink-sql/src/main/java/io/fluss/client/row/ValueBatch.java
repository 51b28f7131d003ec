package io.fluss.client.row;

/**
 * Reader of value batches: {@code [int32 length of the rest][int8 magic 0][int32 count]}, then per
 * row {@code [int32 length of the rest][int16 schema id][row bytes]}.
 */
public final class ValueBatch {
  private static final int HEADER_SIZE = 9;

  private ValueBatch() {}

  /** Takes the rows of a batch. */
  @FunctionalInterface
  public interface Visitor {
    void row(int schemaId, byte[] data, int offset, int length);
  }

  /**
   * Hands out the rows of the batch in {@code data[offset, offset + length)}; empty input has none.
   */
  public static void read(byte[] data, int offset, int length, Visitor visitor) {
    if (length == 0) {
      return;
    }
    if (length < HEADER_SIZE || data[offset + 4] != 0) {
      throw Bytes.corrupt("a value batch has a bad header");
    }
    int end = offset + length;
    int count = Bytes.getInt(data, offset + 5);
    int position = offset + HEADER_SIZE;
    for (int i = 0; i < count; i++) {
      int remaining = end - position - 4;
      int size = remaining < 2 ? -1 : Bytes.getInt(data, position);
      if (size < 2 || size > remaining) {
        throw Bytes.corrupt("a value batch ends in the middle of a row");
      }
      visitor.row(Bytes.getShort(data, position + 4), data, position + 6, size - 2);
      position += 4 + size;
    }
  }
}
