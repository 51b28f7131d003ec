package io.fluss.flink.sink;

import org.apache.flink.table.data.RowData;

/** Takes rows in Flink's internal format as they are. */
public final class RowDataSerializer implements RowSerializer<RowData> {

  private static final long serialVersionUID = 1L;

  @Override
  public RowData serialize(RowData row) {
    return row;
  }

  @Override
  public Class<RowData> elementClass() {
    return RowData.class;
  }
}
