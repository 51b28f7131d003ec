package io.fluss.client.row;

import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.types.logical.ArrayType;
import org.apache.flink.table.types.logical.DecimalType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.MapType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.utils.LogicalTypeChecks;

/** Appends one non-null field of a row to a buffer. */
@FunctionalInterface
interface FieldWriter {
  void write(RowData row, int field, ByteOutput out);

  /** Field encodings of CompactedRow, which are those of key bytes too. */
  static FieldWriter compacted(LogicalType type) {
    switch (FieldKind.of(type)) {
      case BOOLEAN:
        return (row, field, out) -> out.writeByte(row.getBoolean(field) ? 1 : 0);
      case TINYINT:
        return (row, field, out) -> out.writeByte(row.getByte(field));
      case SMALLINT:
        return (row, field, out) -> out.writeShort(row.getShort(field));
      case INT:
        return (row, field, out) -> out.writeVarInt(row.getInt(field));
      case BIGINT:
        return (row, field, out) -> out.writeVarLong(row.getLong(field));
      case FLOAT:
        return (row, field, out) -> out.writeInt(Float.floatToRawIntBits(row.getFloat(field)));
      case DOUBLE:
        return (row, field, out) -> out.writeLong(Double.doubleToRawLongBits(row.getDouble(field)));
      case CHAR:
      case STRING:
        return (row, field, out) -> out.writeSizedString(row.getString(field));
      case BINARY:
      case BYTES:
        return (row, field, out) -> writeSized(row.getBinary(field), out);
      case COMPACT_DECIMAL:
        {
          int precision = ((DecimalType) type).getPrecision();
          int scale = ((DecimalType) type).getScale();
          return (row, field, out) ->
              out.writeVarLong(row.getDecimal(field, precision, scale).toUnscaledLong());
        }
      case WIDE_DECIMAL:
        {
          int precision = ((DecimalType) type).getPrecision();
          int scale = ((DecimalType) type).getScale();
          return (row, field, out) ->
              writeSized(row.getDecimal(field, precision, scale).toUnscaledBytes(), out);
        }
      case COMPACT_TIMESTAMP:
        {
          int precision = LogicalTypeChecks.getPrecision(type);
          return (row, field, out) ->
              out.writeVarLong(row.getTimestamp(field, precision).getMillisecond());
        }
      case TIMESTAMP:
        {
          int precision = LogicalTypeChecks.getPrecision(type);
          return (row, field, out) -> {
            TimestampData value = row.getTimestamp(field, precision);
            out.writeVarLong(value.getMillisecond());
            out.writeVarInt(value.getNanoOfMillisecond());
          };
        }
      case ARRAY:
        {
          ArrayEncoder encoder =
              new ArrayEncoder(((ArrayType) type).getElementType(), RowFormat.COMPACTED);
          return (row, field, out) -> writeSized(encoder.encode(row.getArray(field)), out);
        }
      case MAP:
        {
          ArrayEncoder.MapEncoder encoder =
              new ArrayEncoder.MapEncoder((MapType) type, RowFormat.COMPACTED);
          return (row, field, out) -> writeSized(encoder.encode(row.getMap(field)), out);
        }
      case ROW:
        {
          RowEncoder encoder = RowEncoder.of(RowFormat.COMPACTED, (RowType) type);
          int arity = ((RowType) type).getFieldCount();
          return (row, field, out) ->
              writeSized(encoder.encodeToScratch(row.getRow(field, arity)), out);
        }
      default:
        throw new AssertionError(type);
    }
  }

  private static void writeSized(byte[] bytes, ByteOutput out) {
    out.writeVarInt(bytes.length);
    out.writeBytes(bytes);
  }

  private static void writeSized(ByteOutput image, ByteOutput out) {
    out.writeVarInt(image.size());
    out.writeBytes(image.array(), 0, image.size());
  }

  /** Data part of fields of IndexedRow; lengths of variable fields are kept by the row. */
  static FieldWriter indexed(LogicalType type) {
    switch (FieldKind.of(type)) {
      case INT:
        return (row, field, out) -> out.writeInt(row.getInt(field));
      case BIGINT:
        return (row, field, out) -> out.writeLong(row.getLong(field));
      case CHAR:
        {
          int length = LogicalTypeChecks.getLength(type);
          return (row, field, out) -> writeFixed(row.getString(field).toBytes(), length, out);
        }
      case STRING:
        return (row, field, out) -> out.writeString(row.getString(field));
      case BINARY:
        {
          int length = LogicalTypeChecks.getLength(type);
          return (row, field, out) -> writeFixed(row.getBinary(field), length, out);
        }
      case BYTES:
        return (row, field, out) -> out.writeBytes(row.getBinary(field));
      case COMPACT_DECIMAL:
        {
          int precision = ((DecimalType) type).getPrecision();
          int scale = ((DecimalType) type).getScale();
          return (row, field, out) ->
              out.writeLong(row.getDecimal(field, precision, scale).toUnscaledLong());
        }
      case WIDE_DECIMAL:
        {
          int precision = ((DecimalType) type).getPrecision();
          int scale = ((DecimalType) type).getScale();
          return (row, field, out) ->
              out.writeBytes(row.getDecimal(field, precision, scale).toUnscaledBytes());
        }
      case COMPACT_TIMESTAMP:
        {
          int precision = LogicalTypeChecks.getPrecision(type);
          return (row, field, out) ->
              out.writeLong(row.getTimestamp(field, precision).getMillisecond());
        }
      case TIMESTAMP:
        {
          int precision = LogicalTypeChecks.getPrecision(type);
          return (row, field, out) -> {
            TimestampData value = row.getTimestamp(field, precision);
            out.writeLong(value.getMillisecond());
            out.writeInt(value.getNanoOfMillisecond());
          };
        }
      case ARRAY:
        {
          ArrayEncoder encoder =
              new ArrayEncoder(((ArrayType) type).getElementType(), RowFormat.INDEXED);
          return (row, field, out) -> writeImage(encoder.encode(row.getArray(field)), out);
        }
      case MAP:
        {
          ArrayEncoder.MapEncoder encoder =
              new ArrayEncoder.MapEncoder((MapType) type, RowFormat.INDEXED);
          return (row, field, out) -> writeImage(encoder.encode(row.getMap(field)), out);
        }
      case ROW:
        {
          RowEncoder encoder = RowEncoder.of(RowFormat.INDEXED, (RowType) type);
          int arity = ((RowType) type).getFieldCount();
          return (row, field, out) ->
              writeImage(encoder.encodeToScratch(row.getRow(field, arity)), out);
        }
      default:
        // One byte, two bytes and IEEE numbers are the same in both formats.
        return compacted(type);
    }
  }

  private static void writeImage(ByteOutput image, ByteOutput out) {
    out.writeBytes(image.array(), 0, image.size());
  }

  private static void writeFixed(byte[] bytes, int length, ByteOutput out) {
    if (bytes.length > length) {
      throw new IllegalArgumentException(
          "a value of " + bytes.length + " bytes is too long for a column of " + length);
    }
    out.writeBytes(bytes);
    out.zeros(length - bytes.length);
  }
}
