package io.fluss.flink.source.reader;

import io.fluss.client.TableInfo;
import io.fluss.flink.row.TableColumns;
import java.util.ArrayList;
import java.util.List;
import java.util.function.UnaryOperator;
import javax.annotation.Nullable;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.utils.ProjectedRowData;
import org.apache.flink.table.types.logical.RowType;

/** How the columns that a query wants are fetched from a table and put into the order wanted. */
public final class ScanSchema {

  private final RowType tableType;
  private final int[] produced;
  private final boolean wholeTable;

  private ScanSchema(RowType tableType, int[] produced) {
    this.tableType = tableType;
    this.produced = produced;
    this.wholeTable = isIdentity(produced, tableType.getFieldCount());
  }

  /**
   * Finds the produced columns in the table.
   *
   * @throws org.apache.flink.table.api.ValidationException if a column is missing or has another
   *     type, nullability apart
   */
  public static ScanSchema resolve(TableInfo table, RowType producedType) {
    return new ScanSchema(table.rowType(), TableColumns.find(table, producedType));
  }

  /** The produced columns out of a row with all columns of the table. */
  public UnaryOperator<RowData> projectFull() {
    return wholeTable ? UnaryOperator.identity() : projection(produced);
  }

  /**
   * The columns to fetch from the log: the produced ones, followed by those of {@code extra} that
   * are missing. At least one, because a fetch cannot request none.
   *
   * @return null for the whole table in its own order
   */
  @Nullable
  public int[] fetched(int[] extra) {
    List<Integer> fields = new ArrayList<>();
    for (int index : produced) {
      fields.add(index);
    }
    for (int index : extra) {
      if (!fields.contains(index)) {
        fields.add(index);
      }
    }
    if (fields.isEmpty()) {
      fields.add(0);
    }
    int[] result = fields.stream().mapToInt(Integer::intValue).toArray();
    return isIdentity(result, tableType.getFieldCount()) ? null : result;
  }

  /** The produced columns out of a row with the columns of {@link #fetched}. */
  public UnaryOperator<RowData> projectFetched(@Nullable int[] fetched) {
    int count = fetched == null ? tableType.getFieldCount() : fetched.length;
    int[] positions = positions(produced, fetched);
    return isIdentity(positions, count) ? UnaryOperator.identity() : projection(positions);
  }

  /** The row type of the columns of {@link #fetched}. */
  public RowType fetchedType(@Nullable int[] fetched) {
    if (fetched == null) {
      return tableType;
    }
    List<RowType.RowField> fields = new ArrayList<>();
    for (int index : fetched) {
      fields.add(tableType.getFields().get(index));
    }
    return new RowType(fields);
  }

  /** Where columns of the table lie among the columns of {@link #fetched}. */
  public static int[] positions(int[] columns, @Nullable int[] fetched) {
    if (fetched == null) {
      return columns;
    }
    int[] positions = new int[columns.length];
    for (int i = 0; i < columns.length; i++) {
      positions[i] = indexOf(fetched, columns[i]);
    }
    return positions;
  }

  private static int indexOf(int[] values, int wanted) {
    for (int i = 0; i < values.length; i++) {
      if (values[i] == wanted) {
        return i;
      }
    }
    throw new IllegalArgumentException("Column " + wanted + " is not fetched.");
  }

  private static boolean isIdentity(int[] fields, int count) {
    if (fields.length != count) {
      return false;
    }
    for (int i = 0; i < count; i++) {
      if (fields[i] != i) {
        return false;
      }
    }
    return true;
  }

  private static UnaryOperator<RowData> projection(int[] fields) {
    return row -> ProjectedRowData.from(fields).replaceRow(row);
  }
}
