package io.fluss.client.row;

import java.util.List;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;

/**
 * Rows to their binary form. Not thread-safe.
 *
 * <p>CompactedRow: null bits, then the non-null fields. IndexedRow: null bits, one int32 per
 * variable-length column (only those of non-null columns are used, packed to the front), then the
 * non-null fields.
 */
public abstract class RowEncoder {
  private final String[] names;
  private final boolean[] nullable;
  private final int nullBytes;
  final FieldWriter[] writers;
  private final ByteOutput scratch = new ByteOutput(64);

  private RowEncoder(RowType type) {
    List<LogicalType> children = type.getChildren();
    names = type.getFieldNames().toArray(new String[0]);
    nullable = new boolean[children.size()];
    writers = new FieldWriter[children.size()];
    nullBytes = (children.size() + 7) >>> 3;
    for (int i = 0; i < writers.length; i++) {
      nullable[i] = children.get(i).isNullable();
    }
  }

  public static RowEncoder of(RowFormat format, RowType type) {
    return format == RowFormat.COMPACTED ? new Compacted(type) : new Indexed(type);
  }

  /**
   * Appends the row.
   *
   * @param columns which fields are taken from the row, the others are written as null; null means
   *     all
   * @throws IllegalArgumentException for null in a NOT NULL field that is taken
   */
  public abstract void encode(RowData row, boolean[] columns, ByteOutput out);

  /** The row alone, in a buffer that is valid until the next call. */
  final ByteOutput encodeToScratch(RowData row) {
    scratch.clear();
    encode(row, null, scratch);
    return scratch;
  }

  final int reserveNullBits(ByteOutput out) {
    return out.zeros(nullBytes);
  }

  /** Sets the null bit of the field if it is null, and returns whether it is. */
  final boolean writeNull(RowData row, int field, boolean[] columns, int bits, ByteOutput out) {
    if (columns != null && !columns[field]) {
      setBit(bits, field, out);
      return true;
    }
    if (row.isNullAt(field)) {
      if (!nullable[field]) {
        throw new IllegalArgumentException(
            "Column '" + names[field] + "' is NOT NULL, but the row has null there");
      }
      setBit(bits, field, out);
      return true;
    }
    return false;
  }

  private static void setBit(int bits, int field, ByteOutput out) {
    int position = bits + (field >>> 3);
    out.array()[position] |= (byte) (1 << (field & 7));
  }

  private static final class Compacted extends RowEncoder {
    Compacted(RowType type) {
      super(type);
      for (int i = 0; i < writers.length; i++) {
        writers[i] = FieldWriter.compacted(type.getTypeAt(i));
      }
    }

    @Override
    public void encode(RowData row, boolean[] columns, ByteOutput out) {
      int bits = reserveNullBits(out);
      for (int i = 0; i < writers.length; i++) {
        if (!writeNull(row, i, columns, bits, out)) {
          writers[i].write(row, i, out);
        }
      }
    }
  }

  private static final class Indexed extends RowEncoder {
    private final boolean[] variable;
    private final int variableCount;

    Indexed(RowType type) {
      super(type);
      variable = new boolean[writers.length];
      int count = 0;
      for (int i = 0; i < writers.length; i++) {
        writers[i] = FieldWriter.indexed(type.getTypeAt(i));
        variable[i] = isVariable(FieldKind.of(type.getTypeAt(i)));
        count += variable[i] ? 1 : 0;
      }
      variableCount = count;
    }

    @Override
    public void encode(RowData row, boolean[] columns, ByteOutput out) {
      int bits = reserveNullBits(out);
      int lengthSlot = out.zeros(4 * variableCount);
      for (int i = 0; i < writers.length; i++) {
        if (writeNull(row, i, columns, bits, out)) {
          continue;
        }
        int start = out.size();
        writers[i].write(row, i, out);
        if (variable[i]) {
          out.putInt(lengthSlot, out.size() - start);
          lengthSlot += 4;
        }
      }
    }
  }

  /** Whether a field has a length entry in an IndexedRow. */
  static boolean isVariable(FieldKind kind) {
    switch (kind) {
      case STRING:
      case BYTES:
      case WIDE_DECIMAL:
      case ARRAY:
      case MAP:
      case ROW:
        return true;
      default:
        return false;
    }
  }
}
