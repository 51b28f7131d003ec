package io.fluss.client.row;

import org.apache.flink.table.data.ArrayData;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.MapData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.types.logical.ArrayType;
import org.apache.flink.table.types.logical.DecimalType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.MapType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.utils.LogicalTypeChecks;

/**
 * Writes array images: element count, null bits in words of 32, fixed slots, padding to 8, then the
 * variable part in items padded to 8. Slots of 8 bytes hold values of up to 7 bytes inline (last
 * byte 0x80 | length) or, in the low half, a length and, in the high half, an offset from the start
 * of the image. Not thread-safe.
 */
final class ArrayEncoder {
  private final FieldKind kind;
  private final boolean elementNullable;
  private final int precision;
  private final int scale;
  private final ArrayEncoder nestedArray;
  private final MapEncoder nestedMap;
  private final RowEncoder nestedRow;
  private final int nestedArity;
  private final ByteOutput scratch = new ByteOutput(64);

  ArrayEncoder(LogicalType elementType, RowFormat format) {
    kind = FieldKind.of(elementType);
    elementNullable = elementType.isNullable();
    boolean decimal = elementType instanceof DecimalType;
    boolean timestamp = kind == FieldKind.COMPACT_TIMESTAMP || kind == FieldKind.TIMESTAMP;
    precision = decimal || timestamp ? LogicalTypeChecks.getPrecision(elementType) : 0;
    scale = decimal ? ((DecimalType) elementType).getScale() : 0;
    nestedArray =
        kind == FieldKind.ARRAY
            ? new ArrayEncoder(((ArrayType) elementType).getElementType(), format)
            : null;
    nestedMap = kind == FieldKind.MAP ? new MapEncoder((MapType) elementType, format) : null;
    nestedRow = kind == FieldKind.ROW ? RowEncoder.of(format, (RowType) elementType) : null;
    nestedArity = kind == FieldKind.ROW ? ((RowType) elementType).getFieldCount() : 0;
  }

  /** The image, in a buffer that is valid until the next call. */
  ByteOutput encode(ArrayData array) {
    ByteOutput out = scratch;
    out.clear();
    int count = array.size();
    int header = 4 + ((count + 31) >>> 5) * 4;
    out.zeros(pad(header + count * kind.slotWidth()));
    out.putInt(0, count);
    for (int i = 0; i < count; i++) {
      int slot = header + i * kind.slotWidth();
      if (array.isNullAt(i)) {
        if (!elementNullable) {
          throw new IllegalArgumentException("null element in an array of NOT NULL elements");
        }
        out.putByte(4 + (i >>> 3), out.array()[4 + (i >>> 3)] | 1 << (i & 7));
      } else {
        writeElement(array, i, slot, out);
      }
    }
    return out;
  }

  private void writeElement(ArrayData array, int i, int slot, ByteOutput out) {
    switch (kind) {
      case BOOLEAN:
        out.putByte(slot, array.getBoolean(i) ? 1 : 0);
        break;
      case TINYINT:
        out.putByte(slot, array.getByte(i));
        break;
      case SMALLINT:
        Bytes.putShort(out.array(), slot, array.getShort(i));
        break;
      case INT:
        out.putInt(slot, array.getInt(i));
        break;
      case BIGINT:
        out.putLong(slot, array.getLong(i));
        break;
      case FLOAT:
        // floatToIntBits gives the one canonical NaN that the format wants in arrays.
        out.putInt(slot, Float.floatToIntBits(array.getFloat(i)));
        break;
      case DOUBLE:
        out.putLong(slot, Double.doubleToLongBits(array.getDouble(i)));
        break;
      case CHAR:
      case STRING:
        writeText(array.getString(i).toBytes(), slot, out);
        break;
      case BINARY:
      case BYTES:
        writeText(array.getBinary(i), slot, out);
        break;
      case COMPACT_DECIMAL:
        out.putLong(slot, array.getDecimal(i, precision, scale).toUnscaledLong());
        break;
      case WIDE_DECIMAL:
        DecimalData decimal = array.getDecimal(i, precision, scale);
        byte[] unscaled = decimal.toUnscaledBytes();
        int position = out.zeros(16);
        System.arraycopy(unscaled, 0, out.array(), position, unscaled.length);
        out.putLong(slot, (long) position << 32 | unscaled.length);
        break;
      case COMPACT_TIMESTAMP:
        out.putLong(slot, array.getTimestamp(i, precision).getMillisecond());
        break;
      case TIMESTAMP:
        TimestampData timestamp = array.getTimestamp(i, precision);
        int millis = out.zeros(8);
        out.putLong(millis, timestamp.getMillisecond());
        out.putLong(slot, (long) millis << 32 | timestamp.getNanoOfMillisecond());
        break;
      case ARRAY:
        writePointer(nestedArray.encode(array.getArray(i)), slot, out);
        break;
      case MAP:
        writePointer(nestedMap.encode(array.getMap(i)), slot, out);
        break;
      case ROW:
        writePointer(nestedRow.encodeToScratch(array.getRow(i, nestedArity)), slot, out);
        break;
      default:
        throw new AssertionError(kind);
    }
  }

  private static void writeText(byte[] text, int slot, ByteOutput out) {
    if (text.length <= 7) {
      System.arraycopy(text, 0, out.array(), slot, text.length);
      out.putByte(slot + 7, 0x80 | text.length);
    } else {
      int position = out.zeros(pad(text.length));
      System.arraycopy(text, 0, out.array(), position, text.length);
      out.putLong(slot, (long) position << 32 | text.length);
    }
  }

  private static void writePointer(ByteOutput image, int slot, ByteOutput out) {
    int position = out.zeros(pad(image.size()));
    System.arraycopy(image.array(), 0, out.array(), position, image.size());
    out.putLong(slot, (long) position << 32 | image.size());
  }

  private static int pad(int size) {
    return (size + 7) & ~7;
  }

  /** Writes map images: byte size of the key array, key array, value array. Not thread-safe. */
  static final class MapEncoder {
    private final ArrayEncoder keys;
    private final ArrayEncoder values;
    private final ByteOutput scratch = new ByteOutput(64);

    MapEncoder(MapType type, RowFormat format) {
      keys = new ArrayEncoder(type.getKeyType().copy(false), format);
      values = new ArrayEncoder(type.getValueType(), format);
    }

    ByteOutput encode(MapData map) {
      ByteOutput out = scratch;
      out.clear();
      ByteOutput keyImage = keys.encode(map.keyArray());
      out.writeInt(keyImage.size());
      out.writeBytes(keyImage.array(), 0, keyImage.size());
      ByteOutput valueImage = values.encode(map.valueArray());
      out.writeBytes(valueImage.array(), 0, valueImage.size());
      return out;
    }
  }
}
