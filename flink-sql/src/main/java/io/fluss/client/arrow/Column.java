package io.fluss.client.arrow;

import io.fluss.client.row.Bytes;
import java.math.BigDecimal;
import java.math.BigInteger;
import org.apache.flink.core.memory.MemorySegment;
import org.apache.flink.core.memory.MemorySegmentFactory;
import org.apache.flink.table.data.ArrayData;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.MapData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.data.binary.BinaryStringData;
import org.apache.flink.types.RowKind;

/**
 * One Arrow column on heap arrays. A column has only the getter of its type. Immutable; the arrays
 * may be shared with other columns.
 */
abstract class Column {
  private final Buffer validity;

  /** {@code validity} null: no nulls. */
  Column(Buffer validity) {
    this.validity = validity;
  }

  /** A range of a byte array. */
  static final class Buffer {
    final byte[] data;
    final int offset;
    final int length;

    Buffer(byte[] data, int offset, int length) {
      this.data = data;
      this.offset = offset;
      this.length = length;
    }

    boolean bit(int index) {
      return (data[offset + (index >>> 3)] >>> (index & 7) & 1) != 0;
    }
  }

  boolean isNullAt(int index) {
    return validity != null && !validity.bit(index);
  }

  boolean getBoolean(int index) {
    throw wrongType();
  }

  byte getByte(int index) {
    throw wrongType();
  }

  short getShort(int index) {
    throw wrongType();
  }

  int getInt(int index) {
    throw wrongType();
  }

  long getLong(int index) {
    throw wrongType();
  }

  float getFloat(int index) {
    throw wrongType();
  }

  double getDouble(int index) {
    throw wrongType();
  }

  StringData getString(int index) {
    throw wrongType();
  }

  byte[] getBinary(int index) {
    throw wrongType();
  }

  DecimalData getDecimal(int index, int precision, int scale) {
    throw wrongType();
  }

  TimestampData getTimestamp(int index) {
    throw wrongType();
  }

  ArrayData getArray(int index) {
    throw wrongType();
  }

  MapData getMap(int index) {
    throw wrongType();
  }

  RowData getRow(int index) {
    throw wrongType();
  }

  private ClassCastException wrongType() {
    return new ClassCastException("another type was requested than " + getClass().getSimpleName());
  }

  /** A column that the batch's schema does not have: null in every row. */
  static final class Missing extends Column {
    static final Missing INSTANCE = new Missing();

    private Missing() {
      super(null);
    }

    @Override
    boolean isNullAt(int index) {
      return true;
    }
  }

  static final class BooleanColumn extends Column {
    private final Buffer bits;

    BooleanColumn(Buffer validity, Buffer bits) {
      super(validity);
      this.bits = bits;
    }

    @Override
    boolean getBoolean(int index) {
      return bits.bit(index);
    }
  }

  /** Columns of values of one fixed width. */
  abstract static class FixedColumn extends Column {
    final byte[] data;
    final int offset;

    FixedColumn(Buffer validity, Buffer values) {
      super(validity);
      this.data = values.data;
      this.offset = values.offset;
    }
  }

  static final class ByteColumn extends FixedColumn {
    ByteColumn(Buffer validity, Buffer values) {
      super(validity, values);
    }

    @Override
    byte getByte(int index) {
      return data[offset + index];
    }
  }

  static final class ShortColumn extends FixedColumn {
    ShortColumn(Buffer validity, Buffer values) {
      super(validity, values);
    }

    @Override
    short getShort(int index) {
      return Bytes.getShort(data, offset + 2 * index);
    }
  }

  /** int32 and date32. */
  static final class IntColumn extends FixedColumn {
    IntColumn(Buffer validity, Buffer values) {
      super(validity, values);
    }

    @Override
    int getInt(int index) {
      return Bytes.getInt(data, offset + 4 * index);
    }
  }

  static final class LongColumn extends FixedColumn {
    LongColumn(Buffer validity, Buffer values) {
      super(validity, values);
    }

    @Override
    long getLong(int index) {
      return Bytes.getLong(data, offset + 8 * index);
    }
  }

  static final class FloatColumn extends FixedColumn {
    FloatColumn(Buffer validity, Buffer values) {
      super(validity, values);
    }

    @Override
    float getFloat(int index) {
      return Float.intBitsToFloat(Bytes.getInt(data, offset + 4 * index));
    }
  }

  static final class DoubleColumn extends FixedColumn {
    DoubleColumn(Buffer validity, Buffer values) {
      super(validity, values);
    }

    @Override
    double getDouble(int index) {
      return Double.longBitsToDouble(Bytes.getLong(data, offset + 8 * index));
    }
  }

  /** Time of day in the unit of its precision; shown in milliseconds. */
  static final class TimeColumn extends FixedColumn {
    private final TimeUnit unit;

    TimeColumn(Buffer validity, Buffer values, TimeUnit unit) {
      super(validity, values);
      this.unit = unit;
    }

    @Override
    int getInt(int index) {
      switch (unit) {
        case SECOND:
          return Bytes.getInt(data, offset + 4 * index) * 1000;
        case MILLISECOND:
          return Bytes.getInt(data, offset + 4 * index);
        case MICROSECOND:
          return (int) (Bytes.getLong(data, offset + 8 * index) / 1000);
        default:
          return (int) (Bytes.getLong(data, offset + 8 * index) / 1_000_000);
      }
    }
  }

  /** Timestamp in the unit of its precision. */
  static final class TimestampColumn extends FixedColumn {
    private final TimeUnit unit;

    TimestampColumn(Buffer validity, Buffer values, TimeUnit unit) {
      super(validity, values);
      this.unit = unit;
    }

    @Override
    TimestampData getTimestamp(int index) {
      long value = Bytes.getLong(data, offset + 8 * index);
      switch (unit) {
        case SECOND:
          return TimestampData.fromEpochMillis(value * 1000);
        case MILLISECOND:
          return TimestampData.fromEpochMillis(value);
        case MICROSECOND:
          return TimestampData.fromEpochMillis(
              Math.floorDiv(value, 1000), Math.floorMod(value, 1000) * 1000);
        default:
          return TimestampData.fromEpochMillis(
              Math.floorDiv(value, 1_000_000), (int) Math.floorMod(value, 1_000_000L));
      }
    }
  }

  /** 128-bit little-endian unscaled values. */
  static final class DecimalColumn extends FixedColumn {
    DecimalColumn(Buffer validity, Buffer values) {
      super(validity, values);
    }

    @Override
    DecimalData getDecimal(int index, int precision, int scale) {
      int position = offset + 16 * index;
      if (precision <= 18) {
        return DecimalData.fromUnscaledLong(Bytes.getLong(data, position), precision, scale);
      }
      byte[] bigEndian = new byte[16];
      for (int i = 0; i < 16; i++) {
        bigEndian[i] = data[position + 15 - i];
      }
      BigDecimal value = new BigDecimal(new BigInteger(bigEndian), scale);
      DecimalData result = DecimalData.fromBigDecimal(value, precision, scale);
      if (result == null) {
        throw Bytes.corrupt("a decimal has more than " + precision + " digits");
      }
      return result;
    }
  }

  static final class FixedBinaryColumn extends FixedColumn {
    private final int width;

    FixedBinaryColumn(Buffer validity, Buffer values, int width) {
      super(validity, values);
      this.width = width;
    }

    @Override
    byte[] getBinary(int index) {
      return Bytes.copy(data, offset + width * index, width);
    }
  }

  /** Text and bytes: int32 offsets into one data buffer. */
  static final class BinaryColumn extends Column {
    private final Buffer offsets;
    private final Buffer values;
    private final MemorySegment[] segments;

    BinaryColumn(Buffer validity, Buffer offsets, Buffer values) {
      super(validity);
      this.offsets = offsets;
      this.values = values;
      this.segments = new MemorySegment[] {MemorySegmentFactory.wrap(values.data)};
    }

    private int start(int index) {
      return Bytes.getInt(offsets.data, offsets.offset + 4 * index);
    }

    @Override
    StringData getString(int index) {
      int start = start(index);
      return new BinaryStringData(segments, values.offset + start, start(index + 1) - start);
    }

    @Override
    byte[] getBinary(int index) {
      int start = start(index);
      return Bytes.copy(values.data, values.offset + start, start(index + 1) - start);
    }
  }

  static final class ListColumn extends Column {
    private final Buffer offsets;
    private final Column elements;

    ListColumn(Buffer validity, Buffer offsets, Column elements) {
      super(validity);
      this.offsets = offsets;
      this.elements = elements;
    }

    @Override
    ArrayData getArray(int index) {
      int start = Bytes.getInt(offsets.data, offsets.offset + 4 * index);
      int end = Bytes.getInt(offsets.data, offsets.offset + 4 * (index + 1));
      return new ColumnArray(elements, start, end - start);
    }
  }

  static final class MapColumn extends Column {
    private final Buffer offsets;
    private final Column keys;
    private final Column values;

    MapColumn(Buffer validity, Buffer offsets, Column keys, Column values) {
      super(validity);
      this.offsets = offsets;
      this.keys = keys;
      this.values = values;
    }

    @Override
    MapData getMap(int index) {
      int start = Bytes.getInt(offsets.data, offsets.offset + 4 * index);
      int size = Bytes.getInt(offsets.data, offsets.offset + 4 * (index + 1)) - start;
      return new ColumnArray.ColumnMap(
          new ColumnArray(keys, start, size), new ColumnArray(values, start, size));
    }
  }

  static final class StructColumn extends Column {
    private final Column[] fields;

    StructColumn(Buffer validity, Column[] fields) {
      super(validity);
      this.fields = fields;
    }

    @Override
    RowData getRow(int index) {
      return new ColumnRow(fields, index, RowKind.INSERT);
    }
  }
}
