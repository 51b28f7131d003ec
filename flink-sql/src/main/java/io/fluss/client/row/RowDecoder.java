package io.fluss.client.row;

import java.util.Arrays;
import java.util.List;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.utils.LogicalTypeChecks;
import org.apache.flink.types.RowKind;

/**
 * Binary rows to {@link RowData} views: one pass notes where the fields lie, values are decoded on
 * access. Views refer to the array they were made from. Thread-safe.
 */
public final class RowDecoder {
  private final RowFormat format;
  private final int fieldCount;
  private final FieldKind[] kinds;
  private final boolean[] nullable;

  /**
   * Declared bytes of CHAR and BINARY fields, which IndexedRow stores padded with zeros. Zeros are
   * no characters, but may be bytes of the value.
   */
  private final int[] lengths;

  /** Field of the view that shows a stored field, or -1. */
  private final int[] outputs;

  private final RowLayout layout;

  /**
   * @param types types of the stored fields
   * @param projection stored field per field of the view, -1 for null (a column that this schema
   *     does not have yet); null for all fields in order
   * @param outputTypes types of the view's fields
   */
  public RowDecoder(
      RowFormat format, List<LogicalType> types, int[] projection, List<LogicalType> outputTypes) {
    this.format = format;
    this.fieldCount = types.size();
    this.kinds = new FieldKind[fieldCount];
    this.nullable = new boolean[fieldCount];
    this.lengths = new int[fieldCount];
    this.outputs = new int[fieldCount];
    this.layout = new RowLayout(format, outputTypes);
    for (int i = 0; i < fieldCount; i++) {
      LogicalType type = types.get(i);
      kinds[i] = FieldKind.of(type);
      nullable[i] = type.isNullable();
      outputs[i] = projection == null ? i : -1;
      if (kinds[i] == FieldKind.CHAR || kinds[i] == FieldKind.BINARY) {
        lengths[i] = LogicalTypeChecks.getLength(type);
      }
    }
    if (projection != null) {
      for (int i = 0; i < projection.length; i++) {
        if (projection[i] >= 0) {
          outputs[projection[i]] = i;
        }
      }
    }
  }

  public RowDecoder(RowFormat format, List<LogicalType> types) {
    this(format, types, null, types);
  }

  /** A view of the row in {@code data[offset, offset + length)}. */
  public RowData decode(byte[] data, int offset, int length, RowKind kind) {
    int[] spans = new int[2 * layout.size()];
    Arrays.fill(spans, -1);
    int end;
    try {
      end =
          format == RowFormat.COMPACTED
              ? locateCompacted(data, offset, spans)
              : locateIndexed(data, offset, spans);
    } catch (IndexOutOfBoundsException e) {
      throw Bytes.corrupt("a row ends in the middle of a field");
    }
    if (end > offset + length) {
      throw Bytes.corrupt("a row ends in the middle of a field");
    }
    return format == RowFormat.COMPACTED
        ? new RowView.Compacted(layout, data, spans, kind)
        : new RowView.Indexed(layout, data, spans, kind);
  }

  private boolean isNull(byte[] data, int offset, int field) {
    return nullable[field] && (data[offset + (field >>> 3)] >>> (field & 7) & 1) != 0;
  }

  private int locateCompacted(byte[] data, int offset, int[] spans) {
    int position = offset + ((fieldCount + 7) >>> 3);
    for (int i = 0; i < fieldCount; i++) {
      if (isNull(data, offset, i)) {
        continue;
      }
      int start = position;
      int length = 0;
      switch (kinds[i]) {
        case BOOLEAN:
        case TINYINT:
          position += 1;
          break;
        case SMALLINT:
          position += 2;
          break;
        case FLOAT:
          position += 4;
          break;
        case DOUBLE:
          position += 8;
          break;
        case INT:
        case BIGINT:
        case COMPACT_DECIMAL:
        case COMPACT_TIMESTAMP:
          position = Bytes.skipVar(data, position);
          break;
        case TIMESTAMP:
          position = Bytes.skipVar(data, Bytes.skipVar(data, position));
          break;
        default:
          length = Bytes.getVarInt(data, position);
          start = Bytes.skipVar(data, position);
          position = advance(data, start, length);
      }
      note(spans, i, start, length);
    }
    return position;
  }

  private int locateIndexed(byte[] data, int offset, int[] spans) {
    int lengthSlot = offset + ((fieldCount + 7) >>> 3);
    int position = lengthSlot;
    for (FieldKind kind : kinds) {
      position += RowEncoder.isVariable(kind) ? 4 : 0;
    }
    for (int i = 0; i < fieldCount; i++) {
      if (isNull(data, offset, i)) {
        continue;
      }
      int start = position;
      int length;
      switch (kinds[i]) {
        case BOOLEAN:
        case TINYINT:
        case SMALLINT:
        case INT:
        case BIGINT:
        case FLOAT:
        case DOUBLE:
        case COMPACT_DECIMAL:
        case COMPACT_TIMESTAMP:
          length = kinds[i].slotWidth();
          position += length;
          break;
        case TIMESTAMP:
          length = 12;
          position += length;
          break;
        case BINARY:
          length = lengths[i];
          position = advance(data, start, length);
          break;
        case CHAR:
          length = lengths[i];
          position = advance(data, start, length);
          while (length > 0 && data[start + length - 1] == 0) {
            length--;
          }
          break;
        default:
          length = Bytes.getInt(data, lengthSlot);
          lengthSlot += 4;
          position = advance(data, start, length);
      }
      note(spans, i, start, length);
    }
    return position;
  }

  private static int advance(byte[] data, int start, int length) {
    if (length < 0 || length > data.length - start) {
      throw Bytes.corrupt("a row ends in the middle of a field");
    }
    return start + length;
  }

  private void note(int[] spans, int field, int start, int length) {
    int output = outputs[field];
    if (output >= 0) {
      spans[2 * output] = start;
      spans[2 * output + 1] = length;
    }
  }
}
