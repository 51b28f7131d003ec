package io.fluss.client.arrow;

import io.fluss.client.row.BaseRow;
import org.apache.flink.table.data.ArrayData;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.MapData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.types.RowKind;

/** One row of a set of columns. */
final class ColumnRow extends BaseRow {
  private final Column[] columns;
  private final int index;

  ColumnRow(Column[] columns, int index, RowKind kind) {
    super(kind);
    this.columns = columns;
    this.index = index;
  }

  @Override
  public int getArity() {
    return columns.length;
  }

  @Override
  public boolean isNullAt(int field) {
    return columns[field].isNullAt(index);
  }

  @Override
  public boolean getBoolean(int field) {
    return columns[field].getBoolean(index);
  }

  @Override
  public byte getByte(int field) {
    return columns[field].getByte(index);
  }

  @Override
  public short getShort(int field) {
    return columns[field].getShort(index);
  }

  @Override
  public int getInt(int field) {
    return columns[field].getInt(index);
  }

  @Override
  public long getLong(int field) {
    return columns[field].getLong(index);
  }

  @Override
  public float getFloat(int field) {
    return columns[field].getFloat(index);
  }

  @Override
  public double getDouble(int field) {
    return columns[field].getDouble(index);
  }

  @Override
  public StringData getString(int field) {
    return columns[field].getString(index);
  }

  @Override
  public DecimalData getDecimal(int field, int precision, int scale) {
    return columns[field].getDecimal(index, precision, scale);
  }

  @Override
  public TimestampData getTimestamp(int field, int precision) {
    return columns[field].getTimestamp(index);
  }

  @Override
  public byte[] getBinary(int field) {
    return columns[field].getBinary(index);
  }

  @Override
  public ArrayData getArray(int field) {
    return columns[field].getArray(index);
  }

  @Override
  public MapData getMap(int field) {
    return columns[field].getMap(index);
  }

  @Override
  public RowData getRow(int field, int arity) {
    return columns[field].getRow(index);
  }
}
