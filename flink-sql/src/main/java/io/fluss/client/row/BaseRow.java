package io.fluss.client.row;

import org.apache.flink.table.data.RawValueData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.types.RowKind;
import org.apache.flink.types.variant.Variant;

/** What all read-only row views share: the kind, and the types that Fluss does not have. */
public abstract class BaseRow implements RowData {
  private RowKind kind;

  protected BaseRow(RowKind kind) {
    this.kind = kind;
  }

  @Override
  public final RowKind getRowKind() {
    return kind;
  }

  @Override
  public final void setRowKind(RowKind kind) {
    this.kind = kind;
  }

  @Override
  public final <T> RawValueData<T> getRawValue(int field) {
    throw new UnsupportedOperationException("Fluss has no RAW type");
  }

  @Override
  public final Variant getVariant(int field) {
    throw new UnsupportedOperationException("Fluss has no VARIANT type");
  }
}
