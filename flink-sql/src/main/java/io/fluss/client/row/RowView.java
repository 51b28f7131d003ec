package io.fluss.client.row;

import org.apache.flink.table.data.ArrayData;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.MapData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.types.RowKind;

/**
 * A row in a byte array: start and length per field, start -1 for null. Made by {@link RowDecoder}.
 */
abstract class RowView extends BaseRow {
  private final RowLayout layout;
  final byte[] data;
  final int[] spans;

  RowView(RowLayout layout, byte[] data, int[] spans, RowKind kind) {
    super(kind);
    this.layout = layout;
    this.data = data;
    this.spans = spans;
  }

  final int start(int field) {
    return spans[2 * field];
  }

  private int length(int field) {
    return spans[2 * field + 1];
  }

  @Override
  public final int getArity() {
    return layout.size();
  }

  @Override
  public final boolean isNullAt(int field) {
    return spans[2 * field] < 0;
  }

  @Override
  public final boolean getBoolean(int field) {
    return data[start(field)] != 0;
  }

  @Override
  public final byte getByte(int field) {
    return data[start(field)];
  }

  @Override
  public final short getShort(int field) {
    return Bytes.getShort(data, start(field));
  }

  @Override
  public final float getFloat(int field) {
    return Float.intBitsToFloat(Bytes.getInt(data, start(field)));
  }

  @Override
  public final double getDouble(int field) {
    return Double.longBitsToDouble(Bytes.getLong(data, start(field)));
  }

  @Override
  public final StringData getString(int field) {
    return Bytes.string(data, start(field), length(field));
  }

  @Override
  public final byte[] getBinary(int field) {
    return Bytes.copy(data, start(field), length(field));
  }

  @Override
  public final DecimalData getDecimal(int field, int precision, int scale) {
    return layout.kind(field) == FieldKind.COMPACT_DECIMAL
        ? DecimalData.fromUnscaledLong(getLong(field), precision, scale)
        : Bytes.wideDecimal(data, start(field), length(field), precision, scale);
  }

  @Override
  public final TimestampData getTimestamp(int field, int precision) {
    return layout.kind(field) == FieldKind.COMPACT_TIMESTAMP
        ? TimestampData.fromEpochMillis(getLong(field))
        : TimestampData.fromEpochMillis(getLong(field), nanos(field));
  }

  /** The part of a timestamp that follows its milliseconds. */
  abstract int nanos(int field);

  @Override
  public final ArrayData getArray(int field) {
    return layout.array(field).decode(data, start(field), length(field));
  }

  @Override
  public final MapData getMap(int field) {
    return layout.map(field).decode(data, start(field), length(field));
  }

  @Override
  public final RowData getRow(int field, int arity) {
    return layout.row(field).decode(data, start(field), length(field), RowKind.INSERT);
  }

  static final class Compacted extends RowView {
    Compacted(RowLayout layout, byte[] data, int[] spans, RowKind kind) {
      super(layout, data, spans, kind);
    }

    @Override
    public int getInt(int field) {
      return Bytes.getVarInt(data, start(field));
    }

    @Override
    public long getLong(int field) {
      return Bytes.getVarLong(data, start(field));
    }

    @Override
    int nanos(int field) {
      return Bytes.getVarInt(data, Bytes.skipVar(data, start(field)));
    }
  }

  static final class Indexed extends RowView {
    Indexed(RowLayout layout, byte[] data, int[] spans, RowKind kind) {
      super(layout, data, spans, kind);
    }

    @Override
    public int getInt(int field) {
      return Bytes.getInt(data, start(field));
    }

    @Override
    public long getLong(int field) {
      return Bytes.getLong(data, start(field));
    }

    @Override
    int nanos(int field) {
      return Bytes.getInt(data, start(field) + 8);
    }
  }
}
