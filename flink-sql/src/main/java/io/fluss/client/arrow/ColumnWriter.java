package io.fluss.client.arrow;

import io.fluss.client.row.ByteOutput;
import io.fluss.client.row.Bytes;
import java.util.Arrays;
import java.util.List;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.MapData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.types.logical.ArrayType;
import org.apache.flink.table.types.logical.DecimalType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.LogicalTypeRoot;
import org.apache.flink.table.types.logical.MapType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.utils.LogicalTypeChecks;

/**
 * Gathers the values of one column in Arrow form. Reused for one batch after the other; not
 * thread-safe.
 */
abstract class ColumnWriter {
  private final String name;
  private final boolean nullable;

  /** Validity bits, only kept from the first null on. */
  private byte[] validity = new byte[0];

  private int count;
  private int nullCount;

  ColumnWriter(String name, LogicalType type) {
    this.name = name;
    this.nullable = type.isNullable();
  }

  /** Takes the finished parts of the columns, depth first. */
  interface Sink {
    void node(int length, int nullCount);

    void buffer(byte[] data, int length);
  }

  /** Writer of a column of the type. */
  static ColumnWriter of(String name, LogicalType type) {
    switch (type.getTypeRoot()) {
      case BOOLEAN:
        return new BooleanWriter(name, type);
      case ARRAY:
        return new ListWriter(name, (ArrayType) type);
      case MAP:
        return new MapWriter(name, (MapType) type);
      case ROW:
        return new StructWriter(name, (RowType) type);
      case CHAR:
      case VARCHAR:
      case VARBINARY:
        return new BinaryWriter(name, type);
      default:
        return new FixedWriter(name, type);
    }
  }

  /** Adds the field of a row. */
  final void write(RowData row, int field) {
    if (row.isNullAt(field)) {
      if (!nullable) {
        throw new IllegalArgumentException(
            "Column '" + name + "' is NOT NULL, but the row has null there");
      }
      writeNull();
    } else {
      if (nullCount > 0) {
        ensureValidity();
        validity[count >>> 3] |= (byte) (1 << (count & 7));
      }
      writeValue(row, field);
      count++;
    }
  }

  final void writeNull() {
    if (nullCount == 0) {
      ensureValidity();
      Arrays.fill(validity, 0, count >>> 3, (byte) 0xFF);
      Arrays.fill(validity, count >>> 3, validity.length, (byte) 0);
      validity[count >>> 3] = (byte) ((1 << (count & 7)) - 1);
    }
    ensureValidity();
    nullCount++;
    writeNullValue();
    count++;
  }

  private void ensureValidity() {
    if (count >>> 3 >= validity.length) {
      // The first null may come late: then the whole run before it needs its bits at once.
      validity = Arrays.copyOf(validity, Math.max(64, 2 * ((count >>> 3) + 1)));
    }
  }

  final int count() {
    return count;
  }

  /**
   * Drops values after the first {@code newCount}, also parts of a value that failed on the way.
   */
  final void truncate(int newCount) {
    if (nullCount > 0) {
      int kept = 0;
      for (int i = 0; i <= count && i >>> 3 < validity.length; i++) {
        if (i >= newCount) {
          validity[i >>> 3] &= (byte) ~(1 << (i & 7));
        } else if ((validity[i >>> 3] >>> (i & 7) & 1) == 0) {
          kept++;
        }
      }
      nullCount = kept;
    }
    truncateValues(newCount);
    count = newCount;
  }

  void reset() {
    count = 0;
    nullCount = 0;
    Arrays.fill(validity, (byte) 0);
    truncateValues(0);
  }

  final void emit(Sink sink) {
    sink.node(count, nullCount);
    sink.buffer(validity, nullCount == 0 ? 0 : (count + 7) >>> 3);
    emitValues(sink);
  }

  abstract void writeValue(RowData row, int field);

  abstract void writeNullValue();

  abstract void truncateValues(int newCount);

  abstract void emitValues(Sink sink);

  /** Bytes of the values so far. */
  abstract long sizeBytes();

  private static final class BooleanWriter extends ColumnWriter {
    private byte[] bits = new byte[64];

    BooleanWriter(String name, LogicalType type) {
      super(name, type);
    }

    @Override
    void writeValue(RowData row, int field) {
      put(row.getBoolean(field));
    }

    @Override
    void writeNullValue() {
      put(false);
    }

    private void put(boolean value) {
      int index = count();
      if (index >>> 3 >= bits.length) {
        bits = Arrays.copyOf(bits, 2 * bits.length);
      }
      int mask = 1 << (index & 7);
      bits[index >>> 3] = (byte) (value ? bits[index >>> 3] | mask : bits[index >>> 3] & ~mask);
    }

    @Override
    void truncateValues(int newCount) {}

    @Override
    void emitValues(Sink sink) {
      if ((count() & 7) != 0) {
        bits[count() >>> 3] &= (byte) ((1 << (count() & 7)) - 1);
      }
      sink.buffer(bits, (count() + 7) >>> 3);
    }

    @Override
    long sizeBytes() {
      return count() >>> 3;
    }
  }

  /** Puts one value of a fixed width. */
  @FunctionalInterface
  private interface Put {
    void put(RowData row, int field, ByteOutput out);
  }

  /** Numbers, dates, times, decimals and BINARY(n). */
  private static final class FixedWriter extends ColumnWriter {
    private final int width;
    private final Put put;
    private final ByteOutput values = new ByteOutput(256);

    FixedWriter(String name, LogicalType type) {
      super(name, type);
      switch (type.getTypeRoot()) {
        case TINYINT:
          width = 1;
          put = (row, field, out) -> out.writeByte(row.getByte(field));
          break;
        case SMALLINT:
          width = 2;
          put = (row, field, out) -> out.writeShort(row.getShort(field));
          break;
        case INTEGER:
        case DATE:
          width = 4;
          put = (row, field, out) -> out.writeInt(row.getInt(field));
          break;
        case BIGINT:
          width = 8;
          put = (row, field, out) -> out.writeLong(row.getLong(field));
          break;
        case FLOAT:
          width = 4;
          put = (row, field, out) -> out.writeInt(Float.floatToRawIntBits(row.getFloat(field)));
          break;
        case DOUBLE:
          width = 8;
          put =
              (row, field, out) -> out.writeLong(Double.doubleToRawLongBits(row.getDouble(field)));
          break;
        case TIME_WITHOUT_TIME_ZONE:
          {
            TimeUnit unit = TimeUnit.ofPrecision(LogicalTypeChecks.getPrecision(type));
            width = unit.timeWidth();
            put = (row, field, out) -> writeTime(row.getInt(field), unit, out);
            break;
          }
        case TIMESTAMP_WITHOUT_TIME_ZONE:
        case TIMESTAMP_WITH_LOCAL_TIME_ZONE:
          {
            int precision = LogicalTypeChecks.getPrecision(type);
            TimeUnit unit = TimeUnit.ofPrecision(precision);
            width = 8;
            put =
                (row, field, out) ->
                    out.writeLong(timestamp(row.getTimestamp(field, precision), unit, name, type));
            break;
          }
        case DECIMAL:
          {
            int precision = ((DecimalType) type).getPrecision();
            int scale = ((DecimalType) type).getScale();
            width = 16;
            put = (row, field, out) -> writeDecimal(row.getDecimal(field, precision, scale), out);
            break;
          }
        case BINARY:
          {
            int length = LogicalTypeChecks.getLength(type);
            width = length;
            put = (row, field, out) -> writeBinary(row.getBinary(field), length, name, out);
            break;
          }
        default:
          throw new IllegalArgumentException("no Arrow form of " + type.asSummaryString());
      }
    }

    /** Milliseconds of the day in the unit, truncated. */
    private static void writeTime(int millis, TimeUnit unit, ByteOutput out) {
      switch (unit) {
        case SECOND:
          out.writeInt(millis / 1000);
          break;
        case MILLISECOND:
          out.writeInt(millis);
          break;
        case MICROSECOND:
          out.writeLong(millis * 1000L);
          break;
        default:
          out.writeLong(millis * 1_000_000L);
      }
    }

    /** The instant in the unit, truncated toward zero as official writers do. */
    private static long timestamp(
        TimestampData value, TimeUnit unit, String name, LogicalType type) {
      switch (unit) {
        case SECOND:
          return value.getMillisecond() / 1000;
        case MILLISECOND:
          return value.getMillisecond();
        case MICROSECOND:
          return scaled(value, 1000, value.getNanoOfMillisecond() / 1000, name, type);
        default:
          return scaled(value, 1_000_000, value.getNanoOfMillisecond(), name, type);
      }
    }

    /** {@code value} in the unit of which a millisecond has {@code perMilli}. */
    private static long scaled(
        TimestampData value, long perMilli, int ofMilli, String name, LogicalType type) {
      long millis = value.getMillisecond();
      try {
        // The first millisecond of the range is not in it as a whole: it is counted from its end.
        return millis < 0
            ? Math.addExact(Math.multiplyExact(millis + 1, perMilli), ofMilli - perMilli)
            : Math.addExact(Math.multiplyExact(millis, perMilli), ofMilli);
      } catch (ArithmeticException e) {
        throw new IllegalArgumentException(
            String.format(
                "Column '%s' of type %s cannot hold %s: its values lie between %s and %s. A smaller"
                    + " precision has a wider range.",
                name,
                type.asSummaryString(),
                value,
                ofUnits(Long.MIN_VALUE, perMilli),
                ofUnits(Long.MAX_VALUE, perMilli)),
            e);
      }
    }

    private static TimestampData ofUnits(long units, long perMilli) {
      return TimestampData.fromEpochMillis(
          Math.floorDiv(units, perMilli),
          (int) (Math.floorMod(units, perMilli) * (1_000_000 / perMilli)));
    }

    private static void writeDecimal(DecimalData value, ByteOutput out) {
      if (value.isCompact()) {
        long unscaled = value.toUnscaledLong();
        out.writeLong(unscaled);
        out.writeLong(unscaled >> 63);
        return;
      }
      byte[] bigEndian = value.toUnscaledBytes();
      int position = out.zeros(16);
      byte[] data = out.array();
      byte sign = (byte) (bigEndian[0] >> 7);
      for (int i = 0; i < 16; i++) {
        int source = bigEndian.length - 1 - i;
        data[position + i] = source >= 0 ? bigEndian[source] : sign;
      }
    }

    private static void writeBinary(byte[] value, int length, String name, ByteOutput out) {
      if (value.length != length) {
        throw new IllegalArgumentException(
            "Column '" + name + "' takes exactly " + length + " bytes, not " + value.length);
      }
      out.writeBytes(value);
    }

    @Override
    void writeValue(RowData row, int field) {
      put.put(row, field, values);
    }

    @Override
    void writeNullValue() {
      values.zeros(width);
    }

    @Override
    void truncateValues(int newCount) {
      values.size(newCount * width);
    }

    @Override
    void emitValues(Sink sink) {
      sink.buffer(values.array(), values.size());
    }

    @Override
    long sizeBytes() {
      return values.size();
    }
  }

  /** int32 offsets of variable-size values, with the leading 0. */
  private static final class Offsets {
    private final ByteOutput out = new ByteOutput(256);

    Offsets() {
      out.writeInt(0);
    }

    void add(int end) {
      out.writeInt(end);
    }

    /** The end of the first {@code count} values. */
    int end(int count) {
      return Bytes.getInt(out.array(), 4 * count);
    }

    void truncate(int count) {
      out.size(4 * (count + 1));
    }

    void emit(Sink sink) {
      sink.buffer(out.array(), out.size());
    }

    int size() {
      return out.size();
    }
  }

  /** CHAR, STRING and BYTES. */
  private static final class BinaryWriter extends ColumnWriter {
    private final boolean text;
    private final Offsets offsets = new Offsets();
    private final ByteOutput values = new ByteOutput(256);

    BinaryWriter(String name, LogicalType type) {
      super(name, type);
      text = type.getTypeRoot() != LogicalTypeRoot.VARBINARY;
    }

    @Override
    void writeValue(RowData row, int field) {
      if (text) {
        values.writeString(row.getString(field));
      } else {
        values.writeBytes(row.getBinary(field));
      }
      offsets.add(values.size());
    }

    @Override
    void writeNullValue() {
      offsets.add(values.size());
    }

    @Override
    void truncateValues(int newCount) {
      values.size(offsets.end(newCount));
      offsets.truncate(newCount);
    }

    @Override
    void emitValues(Sink sink) {
      offsets.emit(sink);
      sink.buffer(values.array(), values.size());
    }

    @Override
    long sizeBytes() {
      return values.size() + offsets.size();
    }
  }

  private static final class ListWriter extends ColumnWriter {
    private final Offsets offsets = new Offsets();
    private final ColumnWriter elements;
    private final ArrayAsRow adapter = new ArrayAsRow();

    ListWriter(String name, ArrayType type) {
      super(name, type);
      elements = ColumnWriter.of(name + ".element", type.getElementType());
    }

    @Override
    void writeValue(RowData row, int field) {
      writeElements(adapter.of(row.getArray(field)), elements);
      offsets.add(elements.count());
    }

    @Override
    void writeNullValue() {
      offsets.add(elements.count());
    }

    @Override
    void truncateValues(int newCount) {
      elements.truncate(offsets.end(newCount));
      offsets.truncate(newCount);
    }

    @Override
    void emitValues(Sink sink) {
      offsets.emit(sink);
      elements.emit(sink);
    }

    @Override
    long sizeBytes() {
      return offsets.size() + elements.sizeBytes();
    }
  }

  private static void writeElements(ArrayAsRow array, ColumnWriter elements) {
    int size = array.getArity();
    for (int i = 0; i < size; i++) {
      elements.write(array, i);
    }
  }

  private static final class MapWriter extends ColumnWriter {
    private final Offsets offsets = new Offsets();
    private final ColumnWriter keys;
    private final ColumnWriter values;
    private final ArrayAsRow adapter = new ArrayAsRow();

    MapWriter(String name, MapType type) {
      super(name, type);
      keys = ColumnWriter.of(name + ".key", type.getKeyType().copy(false));
      values = ColumnWriter.of(name + ".value", type.getValueType());
    }

    @Override
    void writeValue(RowData row, int field) {
      MapData map = row.getMap(field);
      writeElements(adapter.of(map.keyArray()), keys);
      writeElements(adapter.of(map.valueArray()), values);
      offsets.add(keys.count());
    }

    @Override
    void writeNullValue() {
      offsets.add(keys.count());
    }

    @Override
    void truncateValues(int newCount) {
      int end = offsets.end(newCount);
      keys.truncate(end);
      values.truncate(end);
      offsets.truncate(newCount);
    }

    @Override
    void emitValues(Sink sink) {
      offsets.emit(sink);
      // The struct of the entries, which are never null.
      sink.node(keys.count(), 0);
      sink.buffer(new byte[0], 0);
      keys.emit(sink);
      values.emit(sink);
    }

    @Override
    long sizeBytes() {
      return offsets.size() + keys.sizeBytes() + values.sizeBytes();
    }
  }

  private static final class StructWriter extends ColumnWriter {
    private final ColumnWriter[] fields;

    StructWriter(String name, RowType type) {
      super(name, type);
      List<RowType.RowField> children = type.getFields();
      fields = new ColumnWriter[children.size()];
      for (int i = 0; i < fields.length; i++) {
        RowType.RowField child = children.get(i);
        fields[i] = ColumnWriter.of(name + "." + child.getName(), child.getType());
      }
    }

    @Override
    void writeValue(RowData row, int field) {
      RowData nested = row.getRow(field, fields.length);
      for (int i = 0; i < fields.length; i++) {
        fields[i].write(nested, i);
      }
    }

    @Override
    void writeNullValue() {
      for (ColumnWriter field : fields) {
        field.writeNull();
      }
    }

    @Override
    void truncateValues(int newCount) {
      for (ColumnWriter field : fields) {
        field.truncate(newCount);
      }
    }

    @Override
    void emitValues(Sink sink) {
      for (ColumnWriter field : fields) {
        field.emit(sink);
      }
    }

    @Override
    long sizeBytes() {
      long size = 0;
      for (ColumnWriter field : fields) {
        size += field.sizeBytes();
      }
      return size;
    }
  }
}
