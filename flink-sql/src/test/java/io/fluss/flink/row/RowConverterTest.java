package io.fluss.flink.row;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigDecimal;
import java.sql.Date;
import java.sql.Time;
import java.sql.Timestamp;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.stream.Stream;
import org.apache.flink.api.common.serialization.SerializerConfigImpl;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.core.memory.DataInputDeserializer;
import org.apache.flink.core.memory.DataOutputSerializer;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.utils.DateTimeUtils;
import org.apache.flink.types.Row;
import org.apache.flink.types.RowKind;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class RowConverterTest {

  private static Object roundTrip(DataType type, Object value) {
    Object internal = RowConverter.toInternal(type.getLogicalType()).convert(value);
    return RowConverter.toExternal(type.getLogicalType()).convert(internal);
  }

  static Stream<Arguments> values() {
    Map<String, Integer> map = new HashMap<>();
    map.put("a", 1);
    map.put("b", null);
    return Stream.of(
        Arguments.of(DataTypes.STRING(), "grüße 🙂"),
        Arguments.of(DataTypes.CHAR(3), "abc"),
        Arguments.of(DataTypes.BOOLEAN(), true),
        Arguments.of(DataTypes.BYTES(), new byte[] {0, -1}),
        Arguments.of(
            DataTypes.DECIMAL(38, 18), new BigDecimal("12345678901234567890.123456789012345678")),
        Arguments.of(DataTypes.TINYINT(), Byte.MIN_VALUE),
        Arguments.of(DataTypes.SMALLINT(), Short.MAX_VALUE),
        Arguments.of(DataTypes.INT(), Integer.MIN_VALUE),
        Arguments.of(DataTypes.BIGINT(), Long.MIN_VALUE),
        Arguments.of(DataTypes.FLOAT(), Float.NaN),
        Arguments.of(DataTypes.DOUBLE(), Double.NEGATIVE_INFINITY),
        Arguments.of(DataTypes.DATE(), Date.valueOf("1582-10-15")),
        Arguments.of(DataTypes.TIMESTAMP(9), LocalDateTime.of(1969, 12, 31, 23, 59, 59, 999999999)),
        Arguments.of(DataTypes.TIMESTAMP_LTZ(9), Instant.parse("1969-12-31T23:59:59.999999999Z")),
        Arguments.of(DataTypes.ARRAY(DataTypes.STRING()), new String[] {"a", null}),
        Arguments.of(
            DataTypes.ARRAY(DataTypes.ARRAY(DataTypes.INT())),
            new Integer[][] {{1, null}, null, {}}),
        Arguments.of(DataTypes.MAP(DataTypes.STRING(), DataTypes.INT()), map),
        Arguments.of(
            DataTypes.ROW(
                DataTypes.FIELD("x", DataTypes.INT()), DataTypes.FIELD("y", DataTypes.STRING())),
            Row.of(1, null)));
  }

  @ParameterizedTest
  @MethodSource("values")
  void valuesAndTheirSerializersRoundTrip(DataType type, Object value) throws Exception {
    assertSame(value, roundTrip(type, value));
    assertEquals(null, roundTrip(type, null));

    @SuppressWarnings("unchecked")
    TypeSerializer<Object> serializer =
        (TypeSerializer<Object>)
            RowConverter.typeInfo(type.getLogicalType())
                .createSerializer(new SerializerConfigImpl());
    DataOutputSerializer out = new DataOutputSerializer(64);
    serializer.serialize(value, out);
    assertSame(value, serializer.deserialize(new DataInputDeserializer(out.getCopyOfBuffer())));
  }

  private static void assertSame(Object expected, Object actual) {
    assertArrayEquals(new Object[] {expected}, new Object[] {actual});
  }

  @Test
  void timeKeepsMilliseconds() {
    Time time = (Time) roundTrip(DataTypes.TIME(3), LocalTime.of(23, 59, 59, 987_000_000));

    assertEquals("23:59:59", time.toString());
    assertEquals(987, Math.floorMod(time.getTime(), 1000));
    assertEquals(
        86399987, RowConverter.toInternal(DataTypes.TIME(3).getLogicalType()).convert(time));
  }

  @Test
  void otherClassesOfATypeAreTaken() {
    assertEquals(5L, roundTrip(DataTypes.BIGINT(), (byte) 5));
    assertEquals((byte) 5, roundTrip(DataTypes.TINYINT(), 5L));
    assertEquals(Date.valueOf("2013-01-01"), roundTrip(DataTypes.DATE(), LocalDate.of(2013, 1, 1)));
    assertEquals(
        LocalDateTime.of(2013, 1, 1, 2, 3),
        roundTrip(DataTypes.TIMESTAMP(3), Timestamp.valueOf("2013-01-01 02:03:00")));
    assertArrayEquals(
        new Integer[] {1, 2},
        (Integer[]) roundTrip(DataTypes.ARRAY(DataTypes.INT()), Arrays.asList(1, 2)));
    assertArrayEquals(
        new Integer[] {1, 2},
        (Integer[]) roundTrip(DataTypes.ARRAY(DataTypes.INT()), new int[] {1, 2}));
    assertEquals(new BigDecimal("7.00"), roundTrip(DataTypes.DECIMAL(5, 2), 7));
  }

  @Test
  void datesOfTheJulianCalendarAreRefused() {
    LogicalType type = DataTypes.ROW(DataTypes.FIELD("born", DataTypes.DATE())).getLogicalType();
    for (String text : Arrays.asList("1582-10-14", "1582-10-05", "1582-10-04", "0001-01-01")) {
      LocalDate date = LocalDate.parse(text);
      RowData row = (RowData) RowConverter.toInternal(type).convert(Row.of(date));

      assertEquals(date.toEpochDay(), row.getInt(0));
      IllegalArgumentException e =
          assertThrows(
              IllegalArgumentException.class, () -> RowConverter.toExternal(type).convert(row));
      assertTrue(e.getMessage().startsWith("Field 'born': DATE " + date), e.getMessage());
      e =
          assertThrows(
              IllegalArgumentException.class,
              () ->
                  RowConverter.toInternal(type).convert(Row.of(Date.valueOf(date.minusYears(1)))));
      assertTrue(e.getMessage().startsWith("Field 'born': "), e.getMessage());
    }
    assertEquals(
        LocalDate.of(1582, 10, 15).toEpochDay(),
        (long)
            (Integer)
                RowConverter.toInternal(DataTypes.DATE().getLogicalType())
                    .convert(Date.valueOf("1582-10-15")));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "0001-01-01",
        "1500-03-01",
        "1582-10-04",
        "1582-10-14",
        "1582-10-15",
        "2013-01-01"
      })
  void datesOfPyFlinkCountDaysAsSqlDoes(String text) {
    int day = (int) LocalDate.parse(text).toEpochDay();

    assertEquals(
        day,
        RowConverter.toInternal(DataTypes.DATE().getLogicalType(), RowConverter.SqlDates.GREGORIAN)
            .convert(DateTimeUtils.toSQLDate(day)));
  }

  @Test
  void valuesThatATypeCannotHoldAreRefused() {
    assertThrows(IllegalArgumentException.class, () -> roundTrip(DataTypes.TINYINT(), 128));
    assertThrows(
        IllegalArgumentException.class,
        () -> roundTrip(DataTypes.DECIMAL(3, 1), new BigDecimal("1234.5")));
    IllegalArgumentException e =
        assertThrows(IllegalArgumentException.class, () -> roundTrip(DataTypes.INT(), "1"));
    assertEquals(
        "A value of class java.lang.String cannot be written to a column of type INT.",
        e.getMessage());
  }

  private static final RowType ROW_TYPE =
      (RowType)
          DataTypes.ROW(
                  DataTypes.FIELD("id", DataTypes.BIGINT()),
                  DataTypes.FIELD("name", DataTypes.STRING()))
              .getLogicalType();

  @Test
  void rowsByPositionAndByName() {
    RowConverter.Converter converter = RowConverter.toInternal(ROW_TYPE);
    Row named = Row.withNames(RowKind.DELETE);
    named.setField("name", "x");
    named.setField("id", 1);

    RowData expected = GenericRowData.of(1L, StringData.fromString("x"));
    assertEquals(expected, converter.convert(Row.of(1L, "x")));
    expected.setRowKind(RowKind.DELETE);
    assertEquals(expected, converter.convert(named));
  }

  @Test
  void rowsOfAnotherWidthAreRefused() {
    RowConverter.Converter converter = RowConverter.toInternal(ROW_TYPE);

    assertThrows(IllegalArgumentException.class, () -> converter.convert(Row.of(1L)));
    IllegalArgumentException e =
        assertThrows(IllegalArgumentException.class, () -> converter.convert(Row.of("1", "x")));
    assertTrue(e.getMessage().startsWith("Field 'id': "), e.getMessage());
  }

  @Test
  void kindsAreKept() {
    RowData row = GenericRowData.ofKind(RowKind.UPDATE_BEFORE, 1L, StringData.fromString("x"));

    assertEquals(
        Row.ofKind(RowKind.UPDATE_BEFORE, 1L, "x"), RowConverter.toExternal(ROW_TYPE).convert(row));
  }
}
