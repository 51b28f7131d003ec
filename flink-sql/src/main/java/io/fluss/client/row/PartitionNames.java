package io.fluss.client.row;

import io.fluss.client.PartitionInfo;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;

/**
 * Names of the partitions that rows belong to: the text forms of the partition columns' values, as
 * all clients of a cluster have to write them. Thread-safe.
 */
public final class PartitionNames {
  private final List<String> columns = new ArrayList<>();
  private final RowData.FieldGetter[] getters;
  private final LogicalType[] types;

  /**
   * @param rowType of the rows
   * @param fields positions of the partition columns, in the order of the partition key
   */
  public PartitionNames(RowType rowType, int[] fields) {
    getters = new RowData.FieldGetter[fields.length];
    types = new LogicalType[fields.length];
    for (int i = 0; i < fields.length; i++) {
      columns.add(rowType.getFieldNames().get(fields[i]));
      types[i] = rowType.getTypeAt(fields[i]);
      getters[i] = RowData.createFieldGetter(types[i], fields[i]);
    }
  }

  /**
   * The name of a row's partition.
   *
   * @throws IllegalArgumentException for null in a partition column
   */
  public String of(RowData row) {
    List<String> values = new ArrayList<>(getters.length);
    for (int i = 0; i < getters.length; i++) {
      Object value = getters[i].getFieldOrNull(row);
      if (value == null) {
        throw new IllegalArgumentException(
            "partition column " + columns.get(i) + " must not be null");
      }
      values.add(text(value, types[i]));
    }
    return PartitionInfo.nameOf(values);
  }

  /** The text form of a value in Flink's internal representation. */
  public static String text(Object value, LogicalType type) {
    switch (type.getTypeRoot()) {
      case BINARY:
      case VARBINARY:
        StringBuilder hex = new StringBuilder();
        for (byte b : (byte[]) value) {
          hex.append(String.format("%02x", b));
        }
        return hex.toString();
      case DATE:
        LocalDate date = LocalDate.ofEpochDay((int) value);
        return String.format(
            "%04d-%02d-%02d", date.getYear(), date.getMonthValue(), date.getDayOfMonth());
      case TIME_WITHOUT_TIME_ZONE:
        LocalTime time = LocalTime.ofNanoOfDay((int) value * 1_000_000L);
        return String.format(
            "%02d-%02d-%02d_%03d",
            time.getHour(), time.getMinute(), time.getSecond(), time.getNano() / 1_000_000);
      case FLOAT:
      case DOUBLE:
        return floatingPoint(value);
      case TIMESTAMP_WITHOUT_TIME_ZONE:
      case TIMESTAMP_WITH_LOCAL_TIME_ZONE:
        return timestamp(((TimestampData) value).toLocalDateTime());
      default:
        return value.toString();
    }
  }

  private static String floatingPoint(Object value) {
    double number = ((Number) value).doubleValue();
    if (Double.isInfinite(number)) {
      return number > 0 ? "Inf" : "-Inf";
    }
    return value.toString().replace('.', '_');
  }

  /** Without zeros at the end of the fraction, which may leave nothing of it. */
  private static String timestamp(LocalDateTime time) {
    String fraction = String.format("%09d", time.getNano()).replaceAll("0+$", "");
    return String.format(
        "%04d-%02d-%02d-%02d-%02d-%02d_%s",
        time.getYear(),
        time.getMonthValue(),
        time.getDayOfMonth(),
        time.getHour(),
        time.getMinute(),
        time.getSecond(),
        fraction);
  }
}
