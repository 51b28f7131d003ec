package io.fluss.flink.source;

import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.table.data.RowData;

/** Emits the rows as they are, for Flink SQL. */
public final class RowDataDeserializer implements RecordDeserializer<RowData> {

  private static final long serialVersionUID = 1L;

  private final TypeInformation<RowData> producedType;

  public RowDataDeserializer(TypeInformation<RowData> producedType) {
    this.producedType = producedType;
  }

  @Override
  public RowData deserialize(RowData row) {
    return row;
  }

  @Override
  public TypeInformation<RowData> getProducedType() {
    return producedType;
  }
}
