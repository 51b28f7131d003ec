package io.fluss.client;

import io.fluss.client.json.Json;
import io.fluss.client.json.TypeJson;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.table.data.ArrayData;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.GenericArrayData;
import org.apache.flink.table.data.GenericMapData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.MapData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.types.logical.ArrayType;
import org.apache.flink.table.types.logical.DecimalType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.MapType;
import org.apache.flink.table.types.logical.RowType;

/** Access to the golden vectors, and their JSON values as Flink values and back. */
public final class Vectors {
  private Vectors() {}

  public static Map<String, Object> load(String file) {
    Path path = Path.of(System.getProperty("fluss.vectors", "../tests/vectors"), file);
    try {
      return object(Json.parse(Files.readAllBytes(path)));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @SuppressWarnings("unchecked")
  public static Map<String, Object> object(Object value) {
    return (Map<String, Object>) value;
  }

  public static List<Map<String, Object>> objects(Object value) {
    List<Map<String, Object>> result = new ArrayList<>();
    for (Object item : (List<?>) value) {
      result.add(object(item));
    }
    return result;
  }

  public static List<?> list(Object value) {
    return (List<?>) value;
  }

  public static byte[] hex(Object text) {
    String digits = (String) text;
    byte[] bytes = new byte[digits.length() / 2];
    for (int i = 0; i < bytes.length; i++) {
      bytes[i] = (byte) Integer.parseInt(digits.substring(2 * i, 2 * i + 2), 16);
    }
    return bytes;
  }

  public static String hex(byte[] bytes) {
    StringBuilder out = new StringBuilder();
    for (byte b : bytes) {
      out.append(Character.forDigit(b >> 4 & 15, 16)).append(Character.forDigit(b & 15, 16));
    }
    return out.toString();
  }

  /** Row type of a case's {@code schema}. */
  public static RowType rowType(Object schema) {
    List<RowType.RowField> fields = new ArrayList<>();
    for (Map<String, Object> column : objects(schema)) {
      fields.add(
          new RowType.RowField((String) column.get("name"), TypeJson.fromJson(column.get("json"))));
    }
    return new RowType(false, fields);
  }

  /** A row of JSON values. */
  public static GenericRowData row(RowType type, List<?> values) {
    GenericRowData row = new GenericRowData(values.size());
    for (int i = 0; i < values.size(); i++) {
      row.setField(i, toFlink(type.getTypeAt(i), values.get(i)));
    }
    return row;
  }

  /** A JSON value as Flink holds it. */
  public static Object toFlink(LogicalType type, Object value) {
    if (value == null) {
      return null;
    }
    switch (type.getTypeRoot()) {
      case BOOLEAN:
        return value;
      case TINYINT:
        return ((Long) value).byteValue();
      case SMALLINT:
        return ((Long) value).shortValue();
      case INTEGER:
      case DATE:
      case TIME_WITHOUT_TIME_ZONE:
        return ((Long) value).intValue();
      case BIGINT:
        return value;
      case FLOAT:
        return Float.intBitsToFloat(
            Integer.parseUnsignedInt((String) object(value).get("bits"), 16));
      case DOUBLE:
        return Double.longBitsToDouble(
            Long.parseUnsignedLong((String) object(value).get("bits"), 16));
      case CHAR:
      case VARCHAR:
        return StringData.fromString((String) value);
      case BINARY:
      case VARBINARY:
        return hex(value);
      case DECIMAL:
        DecimalType decimal = (DecimalType) type;
        return DecimalData.fromBigDecimal(
            new BigDecimal((String) value), decimal.getPrecision(), decimal.getScale());
      case TIMESTAMP_WITHOUT_TIME_ZONE:
      case TIMESTAMP_WITH_LOCAL_TIME_ZONE:
        return TimestampData.fromEpochMillis(
            (Long) object(value).get("ms"), ((Long) object(value).get("ns")).intValue());
      case ARRAY:
        List<Object> elements = new ArrayList<>();
        for (Object element : list(value)) {
          elements.add(toFlink(((ArrayType) type).getElementType(), element));
        }
        return new GenericArrayData(elements.toArray());
      case MAP:
        Map<Object, Object> map = new LinkedHashMap<>();
        for (Object entry : list(value)) {
          map.put(
              toFlink(((MapType) type).getKeyType(), list(entry).get(0)),
              toFlink(((MapType) type).getValueType(), list(entry).get(1)));
        }
        return new GenericMapData(map);
      case ROW:
        return row((RowType) type, list(value));
      default:
        throw new AssertionError(type);
    }
  }

  /** The row as JSON values, floats as their bits, for comparison. */
  public static List<Object> values(RowType type, RowData row) {
    List<Object> values = new ArrayList<>();
    for (int i = 0; i < type.getFieldCount(); i++) {
      Object value = RowData.createFieldGetter(type.getTypeAt(i), i).getFieldOrNull(row);
      values.add(toJson(type.getTypeAt(i), value));
    }
    return values;
  }

  private static Object toJson(LogicalType type, Object value) {
    if (value == null) {
      return null;
    }
    switch (type.getTypeRoot()) {
      case TINYINT:
      case SMALLINT:
      case INTEGER:
      case DATE:
      case TIME_WITHOUT_TIME_ZONE:
        return ((Number) value).longValue();
      case FLOAT:
        return String.format("%08x", Float.floatToRawIntBits((Float) value));
      case DOUBLE:
        return String.format("%016x", Double.doubleToRawLongBits((Double) value));
      case BINARY:
      case VARBINARY:
        return hex((byte[]) value);
      case CHAR:
      case VARCHAR:
        return value.toString();
      case DECIMAL:
        return ((DecimalData) value).toBigDecimal().toPlainString();
      case TIMESTAMP_WITHOUT_TIME_ZONE:
      case TIMESTAMP_WITH_LOCAL_TIME_ZONE:
        TimestampData timestamp = (TimestampData) value;
        return timestamp.getMillisecond() + "ms " + timestamp.getNanoOfMillisecond() + "ns";
      case ARRAY:
        return elements(((ArrayType) type).getElementType(), (ArrayData) value);
      case MAP:
        MapData map = (MapData) value;
        return Arrays.asList(
            elements(((MapType) type).getKeyType(), map.keyArray()),
            elements(((MapType) type).getValueType(), map.valueArray()));
      case ROW:
        return values((RowType) type, (RowData) value);
      default:
        return value;
    }
  }

  private static List<Object> elements(LogicalType type, ArrayData array) {
    ArrayData.ElementGetter getter = ArrayData.createElementGetter(type);
    List<Object> result = new ArrayList<>();
    for (int i = 0; i < array.size(); i++) {
      result.add(toJson(type, array.isNullAt(i) ? null : getter.getElementOrNull(array, i)));
    }
    return result;
  }
}
