package io.fluss.flink.sink;

import io.fluss.flink.row.RowConverter;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.types.Row;

/** Takes {@link Row}s, whose fields are found by name if they have names, else by position. */
final class RowRowSerializer implements RowSerializer<Row> {

  private static final long serialVersionUID = 1L;

  private final RowConverter.Converter converter;

  RowRowSerializer(RowType inputType, RowConverter.SqlDates sqlDates) {
    this.converter = RowConverter.toInternal(inputType, sqlDates);
  }

  @Override
  public RowData serialize(Row row) {
    return (RowData) converter.convert(row);
  }

  @Override
  public Class<Row> elementClass() {
    return Row.class;
  }
}
