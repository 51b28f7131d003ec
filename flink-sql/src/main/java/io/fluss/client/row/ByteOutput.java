package io.fluss.client.row;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.Arrays;
import org.apache.flink.core.memory.MemorySegment;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.binary.BinaryStringData;

/**
 * A growing byte array with little-endian and variable-length numbers. Not thread-safe; meant to be
 * reused.
 */
public final class ByteOutput {
  static final VarHandle SHORT =
      MethodHandles.byteArrayViewVarHandle(short[].class, ByteOrder.LITTLE_ENDIAN);
  static final VarHandle INT =
      MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
  static final VarHandle LONG =
      MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

  private byte[] data;
  private int size;

  public ByteOutput(int capacity) {
    data = new byte[capacity];
  }

  /** The array behind; valid until the next write. */
  public byte[] array() {
    return data;
  }

  public int size() {
    return size;
  }

  /** Cuts (or, for reserved bytes, sets) the size. */
  public void size(int newSize) {
    ensure(newSize - size);
    size = newSize;
  }

  public void clear() {
    size = 0;
  }

  public byte[] toByteArray() {
    return Arrays.copyOf(data, size);
  }

  /** Appends {@code count} zero bytes and returns the position of the first. */
  public int zeros(int count) {
    ensure(count);
    int position = size;
    Arrays.fill(data, position, position + count, (byte) 0);
    size += count;
    return position;
  }

  public void writeByte(int value) {
    ensure(1);
    data[size++] = (byte) value;
  }

  public void writeShort(int value) {
    ensure(2);
    SHORT.set(data, size, (short) value);
    size += 2;
  }

  public void writeInt(int value) {
    ensure(4);
    INT.set(data, size, value);
    size += 4;
  }

  public void writeLong(long value) {
    ensure(8);
    LONG.set(data, size, value);
    size += 8;
  }

  /** Unsigned base-128 form of the 32 bits of {@code value}. */
  public void writeVarInt(int value) {
    ensure(5);
    while ((value & ~0x7F) != 0) {
      data[size++] = (byte) (value | 0x80);
      value >>>= 7;
    }
    data[size++] = (byte) value;
  }

  /** Unsigned base-128 form of the 64 bits of {@code value}. */
  public void writeVarLong(long value) {
    ensure(10);
    while ((value & ~0x7FL) != 0) {
      data[size++] = (byte) (value | 0x80);
      value >>>= 7;
    }
    data[size++] = (byte) value;
  }

  public void writeBytes(byte[] bytes, int offset, int length) {
    ensure(length);
    System.arraycopy(bytes, offset, data, size, length);
    size += length;
  }

  public void writeBytes(byte[] bytes) {
    writeBytes(bytes, 0, bytes.length);
  }

  /** UTF-8 bytes of the text, without a length; returns their number. */
  public int writeString(StringData text) {
    BinaryStringData binary = (BinaryStringData) text;
    MemorySegment[] segments = binary.getSegments();
    int length = binary.getSizeInBytes();
    if (segments.length == 1) {
      ensure(length);
      segments[0].get(binary.getOffset(), data, size, length);
      size += length;
    } else {
      writeBytes(text.toBytes());
    }
    return length;
  }

  /** UTF-8 bytes of the text behind their number as variable-length integer. */
  public void writeSizedString(StringData text) {
    writeVarInt(((BinaryStringData) text).getSizeInBytes());
    writeString(text);
  }

  public void putByte(int position, int value) {
    data[position] = (byte) value;
  }

  public void putInt(int position, int value) {
    INT.set(data, position, value);
  }

  public void putLong(int position, long value) {
    LONG.set(data, position, value);
  }

  private void ensure(int more) {
    long needed = (long) size + more;
    if (needed > data.length) {
      if (needed > Integer.MAX_VALUE - 16) {
        throw new IllegalStateException("more than 2 GiB in one buffer");
      }
      data =
          Arrays.copyOf(
              data, (int) Math.min(Integer.MAX_VALUE - 16, Math.max(needed, 2L * data.length)));
    }
  }
}
