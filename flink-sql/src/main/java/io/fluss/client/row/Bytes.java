package io.fluss.client.row;

import io.fluss.client.ErrorCode;
import io.fluss.client.FlussException;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.Arrays;
import org.apache.flink.core.memory.MemorySegment;
import org.apache.flink.core.memory.MemorySegmentFactory;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.binary.BinaryStringData;

/** Reading of little-endian and variable-length numbers and of the values made of bytes. */
public final class Bytes {
  private Bytes() {}

  public static short getShort(byte[] data, int position) {
    return (short) ByteOutput.SHORT.get(data, position);
  }

  public static int getInt(byte[] data, int position) {
    return (int) ByteOutput.INT.get(data, position);
  }

  public static long getLong(byte[] data, int position) {
    return (long) ByteOutput.LONG.get(data, position);
  }

  public static void putShort(byte[] data, int position, short value) {
    ByteOutput.SHORT.set(data, position, value);
  }

  public static void putInt(byte[] data, int position, int value) {
    ByteOutput.INT.set(data, position, value);
  }

  public static void putLong(byte[] data, int position, long value) {
    ByteOutput.LONG.set(data, position, value);
  }

  public static int getVarInt(byte[] data, int position) {
    int value = 0;
    for (int shift = 0; shift < 32; shift += 7) {
      byte b = data[position++];
      value |= (b & 0x7F) << shift;
      if (b >= 0) {
        return value;
      }
    }
    throw corrupt("a variable-length integer has more than 5 bytes");
  }

  public static long getVarLong(byte[] data, int position) {
    long value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      byte b = data[position++];
      value |= (long) (b & 0x7F) << shift;
      if (b >= 0) {
        return value;
      }
    }
    throw corrupt("a variable-length integer has more than 10 bytes");
  }

  /** Position after the variable-length number at {@code position}. */
  public static int skipVar(byte[] data, int position) {
    int end = position + 10;
    while (position < end) {
      if (data[position++] >= 0) {
        return position;
      }
    }
    throw corrupt("a variable-length integer has more than 10 bytes");
  }

  /** A view on UTF-8 bytes, without a copy. */
  public static StringData string(byte[] data, int offset, int length) {
    return new BinaryStringData(
        new MemorySegment[] {MemorySegmentFactory.wrap(data)}, offset, length);
  }

  /** Decimal of minimal big-endian two's complement bytes. */
  public static DecimalData wideDecimal(
      byte[] data, int offset, int length, int precision, int scale) {
    BigInteger unscaled = new BigInteger(data, offset, length);
    DecimalData value =
        DecimalData.fromBigDecimal(new BigDecimal(unscaled, scale), precision, scale);
    if (value == null) {
      throw corrupt("a decimal has more than " + precision + " digits");
    }
    return value;
  }

  public static byte[] copy(byte[] data, int offset, int length) {
    return Arrays.copyOfRange(data, offset, offset + length);
  }

  public static FlussException corrupt(String message) {
    return new FlussException(ErrorCode.CORRUPT_RECORD_EXCEPTION, message);
  }
}
