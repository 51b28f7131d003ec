package io.fluss.client.arrow;

import io.fluss.client.row.BaseRow;
import org.apache.flink.table.data.ArrayData;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.MapData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.types.RowKind;

/**
 * Shows the elements of an array as the fields of a row, so that a column writer needs to know only
 * rows.
 */
final class ArrayAsRow extends BaseRow {
  private ArrayData array;

  ArrayAsRow() {
    super(RowKind.INSERT);
  }

  /** This object, showing {@code array}. */
  ArrayAsRow of(ArrayData array) {
    this.array = array;
    return this;
  }

  @Override
  public int getArity() {
    return array.size();
  }

  @Override
  public boolean isNullAt(int field) {
    return array.isNullAt(field);
  }

  @Override
  public boolean getBoolean(int field) {
    return array.getBoolean(field);
  }

  @Override
  public byte getByte(int field) {
    return array.getByte(field);
  }

  @Override
  public short getShort(int field) {
    return array.getShort(field);
  }

  @Override
  public int getInt(int field) {
    return array.getInt(field);
  }

  @Override
  public long getLong(int field) {
    return array.getLong(field);
  }

  @Override
  public float getFloat(int field) {
    return array.getFloat(field);
  }

  @Override
  public double getDouble(int field) {
    return array.getDouble(field);
  }

  @Override
  public StringData getString(int field) {
    return array.getString(field);
  }

  @Override
  public DecimalData getDecimal(int field, int precision, int scale) {
    return array.getDecimal(field, precision, scale);
  }

  @Override
  public TimestampData getTimestamp(int field, int precision) {
    return array.getTimestamp(field, precision);
  }

  @Override
  public byte[] getBinary(int field) {
    return array.getBinary(field);
  }

  @Override
  public ArrayData getArray(int field) {
    return array.getArray(field);
  }

  @Override
  public MapData getMap(int field) {
    return array.getMap(field);
  }

  @Override
  public RowData getRow(int field, int arity) {
    return array.getRow(field, arity);
  }
}
