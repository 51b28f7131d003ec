package io.fluss.client.arrow;

import org.apache.flink.table.data.ArrayData;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.MapData;
import org.apache.flink.table.data.RawValueData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.types.variant.Variant;

/** A range of a column as array. */
final class ColumnArray implements ArrayData {
  private final Column column;
  private final int start;
  private final int size;

  ColumnArray(Column column, int start, int size) {
    this.column = column;
    this.start = start;
    this.size = size;
  }

  @Override
  public int size() {
    return size;
  }

  @Override
  public boolean isNullAt(int pos) {
    return column.isNullAt(start + pos);
  }

  @Override
  public boolean getBoolean(int pos) {
    return column.getBoolean(start + pos);
  }

  @Override
  public byte getByte(int pos) {
    return column.getByte(start + pos);
  }

  @Override
  public short getShort(int pos) {
    return column.getShort(start + pos);
  }

  @Override
  public int getInt(int pos) {
    return column.getInt(start + pos);
  }

  @Override
  public long getLong(int pos) {
    return column.getLong(start + pos);
  }

  @Override
  public float getFloat(int pos) {
    return column.getFloat(start + pos);
  }

  @Override
  public double getDouble(int pos) {
    return column.getDouble(start + pos);
  }

  @Override
  public StringData getString(int pos) {
    return column.getString(start + pos);
  }

  @Override
  public DecimalData getDecimal(int pos, int precision, int scale) {
    return column.getDecimal(start + pos, precision, scale);
  }

  @Override
  public TimestampData getTimestamp(int pos, int precision) {
    return column.getTimestamp(start + pos);
  }

  @Override
  public <T> RawValueData<T> getRawValue(int pos) {
    throw new UnsupportedOperationException("Fluss has no RAW type");
  }

  @Override
  public Variant getVariant(int pos) {
    throw new UnsupportedOperationException("Fluss has no VARIANT type");
  }

  @Override
  public byte[] getBinary(int pos) {
    return column.getBinary(start + pos);
  }

  @Override
  public ArrayData getArray(int pos) {
    return column.getArray(start + pos);
  }

  @Override
  public MapData getMap(int pos) {
    return column.getMap(start + pos);
  }

  @Override
  public RowData getRow(int pos, int arity) {
    return column.getRow(start + pos);
  }

  @Override
  public boolean[] toBooleanArray() {
    boolean[] result = new boolean[size];
    for (int i = 0; i < size; i++) {
      result[i] = getBoolean(i);
    }
    return result;
  }

  @Override
  public byte[] toByteArray() {
    byte[] result = new byte[size];
    for (int i = 0; i < size; i++) {
      result[i] = getByte(i);
    }
    return result;
  }

  @Override
  public short[] toShortArray() {
    short[] result = new short[size];
    for (int i = 0; i < size; i++) {
      result[i] = getShort(i);
    }
    return result;
  }

  @Override
  public int[] toIntArray() {
    int[] result = new int[size];
    for (int i = 0; i < size; i++) {
      result[i] = getInt(i);
    }
    return result;
  }

  @Override
  public long[] toLongArray() {
    long[] result = new long[size];
    for (int i = 0; i < size; i++) {
      result[i] = getLong(i);
    }
    return result;
  }

  @Override
  public float[] toFloatArray() {
    float[] result = new float[size];
    for (int i = 0; i < size; i++) {
      result[i] = getFloat(i);
    }
    return result;
  }

  @Override
  public double[] toDoubleArray() {
    double[] result = new double[size];
    for (int i = 0; i < size; i++) {
      result[i] = getDouble(i);
    }
    return result;
  }

  /** Two ranges of equal size as map. */
  static final class ColumnMap implements MapData {
    private final ColumnArray keys;
    private final ColumnArray values;

    ColumnMap(ColumnArray keys, ColumnArray values) {
      this.keys = keys;
      this.values = values;
    }

    @Override
    public int size() {
      return keys.size();
    }

    @Override
    public ArrayData keyArray() {
      return keys;
    }

    @Override
    public ArrayData valueArray() {
      return values;
    }
  }
}
