package io.fluss.client;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.GenericArrayData;
import org.apache.flink.table.data.GenericMapData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.types.logical.ArrayType;
import org.apache.flink.table.types.logical.BigIntType;
import org.apache.flink.table.types.logical.BinaryType;
import org.apache.flink.table.types.logical.BooleanType;
import org.apache.flink.table.types.logical.CharType;
import org.apache.flink.table.types.logical.DateType;
import org.apache.flink.table.types.logical.DecimalType;
import org.apache.flink.table.types.logical.DoubleType;
import org.apache.flink.table.types.logical.FloatType;
import org.apache.flink.table.types.logical.IntType;
import org.apache.flink.table.types.logical.LocalZonedTimestampType;
import org.apache.flink.table.types.logical.MapType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.SmallIntType;
import org.apache.flink.table.types.logical.TimeType;
import org.apache.flink.table.types.logical.TimestampType;
import org.apache.flink.table.types.logical.TinyIntType;
import org.apache.flink.table.types.logical.VarBinaryType;

/** A column of every type, of which only the first, id, is never null. */
final class EveryType {
  static final RowType TYPE =
      EndToEnd.row(
          "id", new BigIntType(false),
          "bool", new BooleanType(),
          "tiny", new TinyIntType(),
          "small", new SmallIntType(),
          "int", new IntType(),
          "float", new FloatType(),
          "double", new DoubleType(),
          "char", new CharType(5),
          "string", EndToEnd.STRING,
          "binary", new BinaryType(3),
          "bytes", new VarBinaryType(VarBinaryType.MAX_LENGTH),
          "dec", new DecimalType(10, 2),
          "wide", new DecimalType(38, 10),
          "date", new DateType(),
          "time", new TimeType(3),
          "ts", new TimestampType(3),
          "ts9", new TimestampType(9),
          "ltz", new LocalZonedTimestampType(6),
          "array", new ArrayType(new IntType()),
          "map", new MapType(EndToEnd.STRING.copy(false), new BigIntType()),
          "row",
              new RowType(
                  List.of(
                      new RowType.RowField("a", new IntType()),
                      new RowType.RowField("b", EndToEnd.STRING))));

  private EveryType() {}

  static GenericRowData row(long id) {
    Map<Object, Object> map = new HashMap<>();
    map.put(StringData.fromString("k" + id), id);
    return GenericRowData.of(
        id,
        id % 2 == 0,
        (byte) id,
        (short) -id,
        (int) id,
        (float) id / 3,
        -(double) id / 7,
        StringData.fromString("c" + id % 10),
        StringData.fromString("text \u4f60 " + id),
        new byte[] {1, 2, (byte) (1 + id % 100)},
        new byte[] {(byte) id, 0},
        DecimalData.fromUnscaledLong(id, 10, 2),
        DecimalData.fromBigDecimal(new java.math.BigDecimal("12345678901234567890." + id), 38, 10),
        (int) id,
        (int) id,
        TimestampData.fromEpochMillis(1_700_000_000_000L + id),
        TimestampData.fromEpochMillis(1_700_000_000_000L + id, 123_456),
        TimestampData.fromEpochMillis(1_700_000_000_000L + id, 654_000),
        new GenericArrayData(new Object[] {(int) id, null}),
        new GenericMapData(map),
        GenericRowData.of((int) id, StringData.fromString("nested")));
  }

  static GenericRowData nulls(long id) {
    GenericRowData row = new GenericRowData(TYPE.getFieldCount());
    row.setField(0, id);
    return row;
  }
}
