package io.fluss.flink.row;

import java.io.Serializable;
import java.lang.reflect.Array;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.sql.Date;
import java.sql.Time;
import java.sql.Timestamp;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.OffsetDateTime;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TimeZone;
import org.apache.flink.api.common.typeinfo.LocalTimeTypeInfo;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.typeutils.ObjectArrayTypeInfo;
import org.apache.flink.api.java.typeutils.RowTypeInfo;
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
import org.apache.flink.types.Row;

/**
 * Converts between the Java values of the DataStream API and Flink's internal data.
 *
 * <p>Values read are of the classes that PyFlink handles best: String, BigDecimal, boxed
 * primitives, byte[], {@code java.sql.Date} (the only class of dates that PyFlink can collect; only
 * from 1582-10-15 on, see {@link SqlDates}), {@code java.sql.Time}, {@code LocalDateTime} for
 * TIMESTAMP (PyFlink cuts {@code java.sql.Timestamp} to milliseconds), {@code Instant} for
 * TIMESTAMP_LTZ, arrays, {@code Map} and {@link Row}. Values written may also be of the other usual
 * classes for their type; whole numbers may be of any integer class that holds the value.
 */
public final class RowConverter {

  private static final int MILLIS_PER_SECOND = 1000;
  private static final int NANOS_PER_MILLI = 1_000_000;
  private static final long MILLIS_PER_DAY = 86_400_000;

  /** First day of the Gregorian calendar. */
  private static final LocalDate GREGORIAN_START = LocalDate.of(1582, 10, 15);

  /**
   * What a {@code java.sql.Date} before 1582-10-15 stands for. Its own methods name such a day by
   * the Julian calendar, while Flink's converters and PyFlink's functions count days by the
   * Gregorian one, as SQL does; they differ by ten days in 1582. So such dates are never made.
   */
  public enum SqlDates {
    /** Either: they are refused. */
    AMBIGUOUS,
    /** The day that Flink and PyFlink count. */
    GREGORIAN
  }

  /** One direction of the conversion of one type; null becomes null. */
  @FunctionalInterface
  public interface Converter extends Serializable {
    Object convert(Object value);
  }

  private RowConverter() {}

  // ------------------------------------------------------------------------------------- types

  /** Type information of the values that {@link #toExternal} makes for {@code type}. */
  public static TypeInformation<?> typeInfo(LogicalType type) {
    switch (type.getTypeRoot()) {
      case CHAR:
      case VARCHAR:
        return Types.STRING;
      case BOOLEAN:
        return Types.BOOLEAN;
      case BINARY:
      case VARBINARY:
        return PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO;
      case DECIMAL:
        return Types.BIG_DEC;
      case TINYINT:
        return Types.BYTE;
      case SMALLINT:
        return Types.SHORT;
      case INTEGER:
        return Types.INT;
      case BIGINT:
        return Types.LONG;
      case FLOAT:
        return Types.FLOAT;
      case DOUBLE:
        return Types.DOUBLE;
      case DATE:
        return Types.SQL_DATE;
      case TIME_WITHOUT_TIME_ZONE:
        return Types.SQL_TIME;
      case TIMESTAMP_WITHOUT_TIME_ZONE:
        return LocalTimeTypeInfo.LOCAL_DATE_TIME;
      case TIMESTAMP_WITH_LOCAL_TIME_ZONE:
        return Types.INSTANT;
      case ARRAY:
        return ObjectArrayTypeInfo.getInfoFor(typeInfo(((ArrayType) type).getElementType()));
      case MAP:
        return Types.MAP(
            typeInfo(((MapType) type).getKeyType()), typeInfo(((MapType) type).getValueType()));
      case ROW:
        return rowTypeInfo((RowType) type);
      default:
        throw unsupported(type);
    }
  }

  /** Type information of the {@link Row}s that {@link #toExternal} makes for {@code rowType}. */
  public static RowTypeInfo rowTypeInfo(RowType rowType) {
    TypeInformation<?>[] types =
        rowType.getChildren().stream()
            .map(RowConverter::typeInfo)
            .toArray(TypeInformation<?>[]::new);
    return new RowTypeInfo(types, rowType.getFieldNames().toArray(new String[0]));
  }

  private static IllegalArgumentException unsupported(LogicalType type) {
    return new IllegalArgumentException("Unsupported type " + type.asSummaryString() + ".");
  }

  // ------------------------------------------------------------------------- internal to external

  /** Converter from internal data of {@code type} to Java values. */
  public static Converter toExternal(LogicalType type) {
    Converter converter = toExternalNotNull(type);
    return value -> value == null ? null : converter.convert(value);
  }

  private static Converter toExternalNotNull(LogicalType type) {
    switch (type.getTypeRoot()) {
      case CHAR:
      case VARCHAR:
        return Object::toString;
      case BOOLEAN:
      case BINARY:
      case VARBINARY:
      case TINYINT:
      case SMALLINT:
      case INTEGER:
      case BIGINT:
      case FLOAT:
      case DOUBLE:
        return value -> value;
      case DECIMAL:
        return value -> ((DecimalData) value).toBigDecimal();
      case DATE:
        return value -> sqlDate((Integer) value);
      case TIME_WITHOUT_TIME_ZONE:
        return value -> sqlTime((Integer) value);
      case TIMESTAMP_WITHOUT_TIME_ZONE:
        return value -> ((TimestampData) value).toLocalDateTime();
      case TIMESTAMP_WITH_LOCAL_TIME_ZONE:
        return value -> ((TimestampData) value).toInstant();
      case ARRAY:
        return arrayToExternal((ArrayType) type);
      case MAP:
        return mapToExternal((MapType) type);
      case ROW:
        return rowToExternal((RowType) type);
      default:
        throw unsupported(type);
    }
  }

  private static Date sqlDate(int day) {
    LocalDate date = LocalDate.ofEpochDay(day);
    if (date.isBefore(GREGORIAN_START)) {
      throw new IllegalArgumentException(
          String.format(
              "DATE %s cannot be read as java.sql.Date, whose calendar is another one before %s."
                  + " Read it through the Table API, or with buildForRowData.",
              date, GREGORIAN_START));
    }
    return Date.valueOf(date);
  }

  private static Time sqlTime(int millisOfDay) {
    Time seconds = Time.valueOf(LocalTime.ofSecondOfDay(millisOfDay / MILLIS_PER_SECOND));
    return new Time(seconds.getTime() + millisOfDay % MILLIS_PER_SECOND);
  }

  private static Converter arrayToExternal(ArrayType type) {
    LogicalType elementType = type.getElementType();
    ArrayData.ElementGetter getter = ArrayData.createElementGetter(elementType);
    Converter element = toExternal(elementType);
    Class<?> elementClass = typeInfo(elementType).getTypeClass();
    return value -> {
      ArrayData array = (ArrayData) value;
      Object[] result = (Object[]) Array.newInstance(elementClass, array.size());
      for (int i = 0; i < result.length; i++) {
        result[i] = element.convert(getter.getElementOrNull(array, i));
      }
      return result;
    };
  }

  private static Converter mapToExternal(MapType type) {
    ArrayData.ElementGetter keyGetter = ArrayData.createElementGetter(type.getKeyType());
    ArrayData.ElementGetter valueGetter = ArrayData.createElementGetter(type.getValueType());
    Converter keyConverter = toExternal(type.getKeyType());
    Converter valueConverter = toExternal(type.getValueType());
    return value -> {
      MapData map = (MapData) value;
      ArrayData keys = map.keyArray();
      ArrayData values = map.valueArray();
      Map<Object, Object> result = new HashMap<>();
      for (int i = 0; i < map.size(); i++) {
        result.put(
            keyConverter.convert(keyGetter.getElementOrNull(keys, i)),
            valueConverter.convert(valueGetter.getElementOrNull(values, i)));
      }
      return result;
    };
  }

  private static Converter rowToExternal(RowType type) {
    int count = type.getFieldCount();
    RowData.FieldGetter[] getters = new RowData.FieldGetter[count];
    Converter[] converters = new Converter[count];
    for (int i = 0; i < count; i++) {
      getters[i] = RowData.createFieldGetter(type.getTypeAt(i), i);
      converters[i] = toExternal(type.getTypeAt(i));
    }
    return value -> {
      RowData data = (RowData) value;
      Row row = new Row(data.getRowKind(), count);
      for (int i = 0; i < count; i++) {
        try {
          row.setField(i, converters[i].convert(getters[i].getFieldOrNull(data)));
        } catch (IllegalArgumentException e) {
          throw inField(type.getFieldNames().get(i), e);
        }
      }
      return row;
    };
  }

  // ------------------------------------------------------------------------- external to internal

  /**
   * Converter from Java values to internal data of {@code type}. It throws {@link
   * IllegalArgumentException} for a value that the type cannot hold.
   */
  public static Converter toInternal(LogicalType type) {
    return toInternal(type, SqlDates.AMBIGUOUS);
  }

  /** The same, for values with dates of a known meaning. */
  public static Converter toInternal(LogicalType type, SqlDates sqlDates) {
    Converter converter = toInternalNotNull(type, sqlDates);
    return value -> value == null ? null : converter.convert(value);
  }

  private static Converter toInternalNotNull(LogicalType type, SqlDates sqlDates) {
    switch (type.getTypeRoot()) {
      case CHAR:
      case VARCHAR:
        return value -> StringData.fromString(expect(CharSequence.class, value, type).toString());
      case BOOLEAN:
        return value -> expect(Boolean.class, value, type);
      case BINARY:
      case VARBINARY:
        return value -> expect(byte[].class, value, type);
      case TINYINT:
        return value -> (byte) integer(value, Byte.MIN_VALUE, Byte.MAX_VALUE, type);
      case SMALLINT:
        return value -> (short) integer(value, Short.MIN_VALUE, Short.MAX_VALUE, type);
      case INTEGER:
        return value -> (int) integer(value, Integer.MIN_VALUE, Integer.MAX_VALUE, type);
      case BIGINT:
        return value -> integer(value, Long.MIN_VALUE, Long.MAX_VALUE, type);
      case FLOAT:
        return value -> expect(Number.class, value, type).floatValue();
      case DOUBLE:
        return value -> expect(Number.class, value, type).doubleValue();
      case DECIMAL:
        return value -> decimal(value, (DecimalType) type);
      case DATE:
        return value -> date(value, type, sqlDates);
      case TIME_WITHOUT_TIME_ZONE:
        return value -> time(value, type);
      case TIMESTAMP_WITHOUT_TIME_ZONE:
        return value -> timestamp(value, type);
      case TIMESTAMP_WITH_LOCAL_TIME_ZONE:
        return value -> instant(value, type);
      case ARRAY:
        return arrayToInternal((ArrayType) type, sqlDates);
      case MAP:
        return mapToInternal((MapType) type, sqlDates);
      case ROW:
        return rowToInternal((RowType) type, sqlDates);
      default:
        throw unsupported(type);
    }
  }

  private static <T> T expect(Class<T> expected, Object value, LogicalType type) {
    if (!expected.isInstance(value)) {
      throw mismatch(value, type);
    }
    return expected.cast(value);
  }

  private static IllegalArgumentException mismatch(Object value, LogicalType type) {
    return new IllegalArgumentException(
        String.format(
            "A value of class %s cannot be written to a column of type %s.",
            value.getClass().getName(), type.asSummaryString()));
  }

  private static long integer(Object value, long min, long max, LogicalType type) {
    if (!(value instanceof Byte
        || value instanceof Short
        || value instanceof Integer
        || value instanceof Long)) {
      throw mismatch(value, type);
    }
    long number = ((Number) value).longValue();
    if (number < min || number > max) {
      throw new IllegalArgumentException(
          number + " is out of the range of type " + type.asSummaryString() + ".");
    }
    return number;
  }

  private static DecimalData decimal(Object value, DecimalType type) {
    BigDecimal number;
    if (value instanceof BigDecimal) {
      number = (BigDecimal) value;
    } else if (value instanceof BigInteger) {
      number = new BigDecimal((BigInteger) value);
    } else {
      number = BigDecimal.valueOf(integer(value, Long.MIN_VALUE, Long.MAX_VALUE, type));
    }
    DecimalData result = DecimalData.fromBigDecimal(number, type.getPrecision(), type.getScale());
    if (result == null) {
      throw new IllegalArgumentException(
          number + " is out of the range of type " + type.asSummaryString() + ".");
    }
    return result;
  }

  private static Object date(Object value, LogicalType type, SqlDates sqlDates) {
    if (value instanceof Integer) {
      return value;
    }
    if (!(value instanceof Date)) {
      return Math.toIntExact(expect(LocalDate.class, value, type).toEpochDay());
    }
    long millis = ((Date) value).getTime();
    long day = Math.floorDiv(millis + TimeZone.getDefault().getOffset(millis), MILLIS_PER_DAY);
    if (day >= GREGORIAN_START.toEpochDay()) {
      return Math.toIntExact(((Date) value).toLocalDate().toEpochDay());
    }
    if (sqlDates == SqlDates.AMBIGUOUS) {
      throw new IllegalArgumentException(
          String.format(
              "A java.sql.Date before %s is ambiguous, its calendar is another one than that of"
                  + " SQL. Write a java.time.LocalDate.",
              GREGORIAN_START));
    }
    return Math.toIntExact(day);
  }

  private static Object time(Object value, LogicalType type) {
    if (value instanceof Integer) {
      return value;
    }
    if (value instanceof Time) {
      int millis = Math.floorMod(((Time) value).getTime(), MILLIS_PER_SECOND);
      return ((Time) value).toLocalTime().toSecondOfDay() * MILLIS_PER_SECOND + millis;
    }
    return (int) (expect(LocalTime.class, value, type).toNanoOfDay() / NANOS_PER_MILLI);
  }

  private static TimestampData timestamp(Object value, LogicalType type) {
    return value instanceof Timestamp
        ? TimestampData.fromTimestamp((Timestamp) value)
        : TimestampData.fromLocalDateTime(expect(LocalDateTime.class, value, type));
  }

  private static TimestampData instant(Object value, LogicalType type) {
    if (value instanceof Timestamp) {
      return TimestampData.fromInstant(((Timestamp) value).toInstant());
    }
    if (value instanceof OffsetDateTime) {
      return TimestampData.fromInstant(((OffsetDateTime) value).toInstant());
    }
    return TimestampData.fromInstant(expect(Instant.class, value, type));
  }

  private static Converter arrayToInternal(ArrayType type, SqlDates sqlDates) {
    Converter element = toInternal(type.getElementType(), sqlDates);
    return value -> {
      Object array = value instanceof List ? ((List<?>) value).toArray() : value;
      if (!array.getClass().isArray()) {
        throw mismatch(value, type);
      }
      Object[] result = new Object[Array.getLength(array)];
      for (int i = 0; i < result.length; i++) {
        result[i] = element.convert(Array.get(array, i));
      }
      return new GenericArrayData(result);
    };
  }

  private static Converter mapToInternal(MapType type, SqlDates sqlDates) {
    Converter keyConverter = toInternal(type.getKeyType(), sqlDates);
    Converter valueConverter = toInternal(type.getValueType(), sqlDates);
    return value -> {
      Map<Object, Object> result = new HashMap<>();
      expect(Map.class, value, type)
          .forEach((k, v) -> result.put(keyConverter.convert(k), valueConverter.convert(v)));
      return new GenericMapData(result);
    };
  }

  private static Converter rowToInternal(RowType type, SqlDates sqlDates) {
    int count = type.getFieldCount();
    Converter[] converters =
        type.getChildren().stream()
            .map(child -> toInternal(child, sqlDates))
            .toArray(Converter[]::new);
    String[] names = type.getFieldNames().toArray(new String[0]);
    return value -> {
      Row row = expect(Row.class, value, type);
      boolean byPosition = row.getFieldNames(false) == null;
      if (byPosition && row.getArity() != count) {
        throw new IllegalArgumentException(
            String.format(
                "The row has %d fields, %d are expected: %s.",
                row.getArity(), count, type.getFieldNames()));
      }
      GenericRowData result = new GenericRowData(row.getKind(), count);
      for (int i = 0; i < count; i++) {
        Object field = byPosition ? row.getField(i) : row.getField(names[i]);
        try {
          result.setField(i, converters[i].convert(field));
        } catch (IllegalArgumentException e) {
          throw inField(names[i], e);
        }
      }
      return result;
    };
  }

  private static IllegalArgumentException inField(String name, IllegalArgumentException e) {
    return new IllegalArgumentException("Field '" + name + "': " + e.getMessage(), e);
  }
}
