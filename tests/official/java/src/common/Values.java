import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.fluss.row.BinaryString;
import org.apache.fluss.row.Decimal;
import org.apache.fluss.row.GenericArray;
import org.apache.fluss.row.GenericMap;
import org.apache.fluss.row.GenericRow;
import org.apache.fluss.row.InternalArray;
import org.apache.fluss.row.InternalMap;
import org.apache.fluss.row.InternalRow;
import org.apache.fluss.row.TimestampLtz;
import org.apache.fluss.row.TimestampNtz;
import org.apache.fluss.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.fluss.types.ArrayType;
import org.apache.fluss.types.DataType;
import org.apache.fluss.types.DecimalType;
import org.apache.fluss.types.MapType;
import org.apache.fluss.types.RowType;

/**
 * Rows as JSON: numbers and texts as they are, decimals as text, bytes in base 64, dates in days, times in
 * milliseconds, timestamps in nanoseconds since the epoch, arrays and rows as lists, maps as lists of pairs, sorted.
 */
final class Values {
  private static final BigInteger NANOS_PER_MILLI = BigInteger.valueOf(1_000_000);

  private Values() {}

  static GenericRow row(JsonNode values, RowType type) {
    GenericRow row = new GenericRow(type.getFieldCount());
    for (int i = 0; i < type.getFieldCount(); i++) {
      row.setField(i, read(values.get(i), type.getTypeAt(i)));
    }
    return row;
  }

  static List<Object> list(InternalRow row, RowType type) {
    if (row == null) {
      return null;
    }
    List<Object> values = new ArrayList<>();
    for (int i = 0; i < type.getFieldCount(); i++) {
      values.add(write(InternalRow.createFieldGetter(type.getTypeAt(i), i).getFieldOrNull(row), type.getTypeAt(i)));
    }
    return values;
  }

  static Object read(JsonNode value, DataType type) {
    if (value == null || value.isNull()) {
      return null;
    }
    switch (type.getTypeRoot()) {
      case BOOLEAN:
        return value.asBoolean();
      case TINYINT:
        return (byte) value.asInt();
      case SMALLINT:
        return (short) value.asInt();
      case INTEGER:
      case DATE:
      case TIME_WITHOUT_TIME_ZONE:
        return value.asInt();
      case BIGINT:
        return value.asLong();
      case FLOAT:
        return value.isTextual() ? Float.valueOf(value.asText()) : (Float) (float) value.asDouble();
      case DOUBLE:
        return value.isTextual() ? Double.valueOf(value.asText()) : (Double) value.asDouble();
      case CHAR:
      case STRING:
        return BinaryString.fromString(value.asText());
      case BINARY:
      case BYTES:
        return Base64.getDecoder().decode(value.asText());
      case DECIMAL:
        DecimalType decimal = (DecimalType) type;
        return Decimal.fromBigDecimal(new BigDecimal(value.asText()), decimal.getPrecision(), decimal.getScale());
      case TIMESTAMP_WITHOUT_TIME_ZONE:
        BigInteger[] ntz = floorDivide(value.bigIntegerValue());
        return TimestampNtz.fromMillis(ntz[0].longValueExact(), ntz[1].intValueExact());
      case TIMESTAMP_WITH_LOCAL_TIME_ZONE:
        BigInteger[] ltz = floorDivide(value.bigIntegerValue());
        Instant second = Instant.ofEpochMilli(ltz[0].longValueExact());
        return TimestampLtz.fromInstant(second.plusNanos(ltz[1].longValueExact()));
      case ARRAY:
        DataType element = ((ArrayType) type).getElementType();
        Object[] elements = new Object[value.size()];
        for (int i = 0; i < elements.length; i++) {
          elements[i] = read(value.get(i), element);
        }
        return new GenericArray(elements);
      case MAP:
        MapType map = (MapType) type;
        Map<Object, Object> entries = new LinkedHashMap<>();
        for (JsonNode entry : value) {
          entries.put(read(entry.get(0), map.getKeyType()), read(entry.get(1), map.getValueType()));
        }
        return new GenericMap(entries);
      case ROW:
        return row(value, (RowType) type);
      default:
        throw new IllegalArgumentException("no JSON for " + type);
    }
  }

  private static Object write(Object value, DataType type) {
    if (value == null) {
      return null;
    }
    switch (type.getTypeRoot()) {
      case CHAR:
      case STRING:
        return value.toString();
      case DECIMAL:
        return ((Decimal) value).toBigDecimal().toPlainString();
      case FLOAT:
        return Float.isFinite((Float) value) ? value : value.toString();
      case DOUBLE:
        return Double.isFinite((Double) value) ? value : value.toString();
      case BINARY:
      case BYTES:
        return Base64.getEncoder().encodeToString((byte[]) value);
      case TIMESTAMP_WITHOUT_TIME_ZONE:
        TimestampNtz ntz = (TimestampNtz) value;
        return nanos(ntz.getMillisecond(), ntz.getNanoOfMillisecond());
      case TIMESTAMP_WITH_LOCAL_TIME_ZONE:
        TimestampLtz ltz = (TimestampLtz) value;
        return nanos(ltz.getEpochMillisecond(), ltz.getNanoOfMillisecond());
      case ARRAY:
        return elements((InternalArray) value, ((ArrayType) type).getElementType());
      case MAP:
        MapType map = (MapType) type;
        InternalMap entries = (InternalMap) value;
        List<Object> keys = elements(entries.keyArray(), map.getKeyType());
        List<Object> values = elements(entries.valueArray(), map.getValueType());
        List<Object> pairs = new ArrayList<>();
        for (int i = 0; i < keys.size(); i++) {
          List<Object> pair = new ArrayList<>();
          pair.add(keys.get(i));
          pair.add(values.get(i));
          pairs.add(pair);
        }
        pairs.sort(Comparator.comparing(pair -> String.valueOf(((List<?>) pair).get(0))));
        return pairs;
      case ROW:
        return list((InternalRow) value, (RowType) type);
      default:
        return value;
    }
  }

  private static List<Object> elements(InternalArray array, DataType type) {
    InternalArray.ElementGetter getter = InternalArray.createElementGetter(type);
    List<Object> found = new ArrayList<>();
    for (int i = 0; i < array.size(); i++) {
      found.add(write(getter.getElementOrNull(array, i), type));
    }
    return found;
  }

  private static BigInteger[] floorDivide(BigInteger nanos) {
    BigInteger rest = nanos.mod(NANOS_PER_MILLI);
    return new BigInteger[] {nanos.subtract(rest).divide(NANOS_PER_MILLI), rest};
  }

  private static BigInteger nanos(long millis, int nanos) {
    return BigInteger.valueOf(millis).multiply(NANOS_PER_MILLI).add(BigInteger.valueOf(nanos));
  }
}
