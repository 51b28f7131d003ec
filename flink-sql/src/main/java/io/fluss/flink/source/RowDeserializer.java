package io.fluss.flink.source;

import io.fluss.flink.row.RowConverter;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.types.Row;

/** Emits {@link Row}s with their change kind, for the DataStream API. */
public final class RowDeserializer implements RecordDeserializer<Row> {

  private static final long serialVersionUID = 1L;

  private final RowType producedType;
  private final RowConverter.Converter converter;

  public RowDeserializer(RowType producedType) {
    this.producedType = producedType;
    this.converter = RowConverter.toExternal(producedType);
  }

  @Override
  public Row deserialize(RowData row) {
    return (Row) converter.convert(row);
  }

  @Override
  public TypeInformation<Row> getProducedType() {
    return RowConverter.rowTypeInfo(producedType);
  }
}
