package io.fluss.client.row;

import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.flink.table.data.ArrayData;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.GenericArrayData;
import org.apache.flink.table.data.GenericMapData;
import org.apache.flink.table.data.MapData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.types.logical.ArrayType;
import org.apache.flink.table.types.logical.DecimalType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.MapType;
import org.apache.flink.types.RowKind;

/** Array images (see {@link ArrayEncoder}) to Flink's array objects. Thread-safe. */
final class ArrayDecoder {
  private final FieldKind kind;
  private final int precision;
  private final int scale;
  private final ArrayDecoder nestedArray;
  private final MapDecoder nestedMap;
  private final RowDecoder nestedRow;

  ArrayDecoder(LogicalType elementType, RowFormat format) {
    kind = FieldKind.of(elementType);
    boolean decimal = elementType instanceof DecimalType;
    precision = decimal ? ((DecimalType) elementType).getPrecision() : 0;
    scale = decimal ? ((DecimalType) elementType).getScale() : 0;
    nestedArray =
        kind == FieldKind.ARRAY
            ? new ArrayDecoder(((ArrayType) elementType).getElementType(), format)
            : null;
    nestedMap = kind == FieldKind.MAP ? new MapDecoder((MapType) elementType, format) : null;
    nestedRow = kind == FieldKind.ROW ? new RowDecoder(format, elementType.getChildren()) : null;
  }

  ArrayData decode(byte[] data, int offset, int length) {
    return new GenericArrayData(elements(data, offset, length));
  }

  private Object[] elements(byte[] data, int offset, int length) {
    int count = length < 4 ? -1 : Bytes.getInt(data, offset);
    int header = 4 + ((count + 31) >>> 5) * 4;
    if (count < 0 || (long) header + (long) count * kind.slotWidth() > length) {
      throw Bytes.corrupt("an array ends in the middle of an element");
    }
    Object[] elements = new Object[count];
    for (int i = 0; i < count; i++) {
      boolean isNull = (data[offset + 4 + (i >>> 3)] >>> (i & 7) & 1) != 0;
      if (!isNull) {
        elements[i] = element(data, offset, length, offset + header + i * kind.slotWidth());
      }
    }
    return elements;
  }

  private Object element(byte[] data, int offset, int length, int slot) {
    switch (kind) {
      case BOOLEAN:
        return data[slot] != 0;
      case TINYINT:
        return data[slot];
      case SMALLINT:
        return Bytes.getShort(data, slot);
      case INT:
        return Bytes.getInt(data, slot);
      case BIGINT:
        return Bytes.getLong(data, slot);
      case FLOAT:
        return Float.intBitsToFloat(Bytes.getInt(data, slot));
      case DOUBLE:
        return Double.longBitsToDouble(Bytes.getLong(data, slot));
      case COMPACT_DECIMAL:
        return DecimalData.fromUnscaledLong(Bytes.getLong(data, slot), precision, scale);
      case COMPACT_TIMESTAMP:
        return TimestampData.fromEpochMillis(Bytes.getLong(data, slot));
      case CHAR:
      case STRING:
        if (data[slot + 7] < 0) {
          return Bytes.string(data, slot, data[slot + 7] & 0x7F);
        }
        break;
      case BINARY:
      case BYTES:
        if (data[slot + 7] < 0) {
          return Bytes.copy(data, slot, data[slot + 7] & 0x7F);
        }
        break;
      default:
        break;
    }
    int low = Bytes.getInt(data, slot);
    int high = Bytes.getInt(data, slot + 4);
    int size = kind == FieldKind.TIMESTAMP ? 8 : low;
    if (high < 0 || size < 0 || (long) high + size > length) {
      throw Bytes.corrupt("an array element lies outside of its array");
    }
    int start = offset + high;
    switch (kind) {
      case CHAR:
      case STRING:
        return Bytes.string(data, start, size);
      case BINARY:
      case BYTES:
        return Bytes.copy(data, start, size);
      case WIDE_DECIMAL:
        return Bytes.wideDecimal(data, start, size, precision, scale);
      case TIMESTAMP:
        return TimestampData.fromEpochMillis(Bytes.getLong(data, start), low);
      case ARRAY:
        return nestedArray.decode(data, start, size);
      case MAP:
        return nestedMap.decode(data, start, size);
      case ROW:
        return nestedRow.decode(data, start, size, RowKind.INSERT);
      default:
        throw new AssertionError(kind);
    }
  }

  /** Map images to Flink's map objects, entries in stored order. Thread-safe. */
  static final class MapDecoder {
    private final ArrayDecoder keys;
    private final ArrayDecoder values;

    MapDecoder(MapType type, RowFormat format) {
      keys = new ArrayDecoder(type.getKeyType(), format);
      values = new ArrayDecoder(type.getValueType(), format);
    }

    MapData decode(byte[] data, int offset, int length) {
      int keySize = length < 4 ? -1 : Bytes.getInt(data, offset);
      if (keySize < 0 || keySize > length - 4) {
        throw Bytes.corrupt("a map ends in the middle of its keys");
      }
      Object[] keyElements = keys.elements(data, offset + 4, keySize);
      Object[] valueElements = values.elements(data, offset + 4 + keySize, length - 4 - keySize);
      if (keyElements.length != valueElements.length) {
        throw Bytes.corrupt("a map has different numbers of keys and values");
      }
      Map<Object, Object> map = new LinkedHashMap<>();
      for (int i = 0; i < keyElements.length; i++) {
        map.put(keyElements[i], valueElements[i]);
      }
      return new GenericMapData(map);
    }
  }
}
