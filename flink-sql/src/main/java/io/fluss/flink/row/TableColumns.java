package io.fluss.flink.row;

import io.fluss.client.TableInfo;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;

/**
 * Finds the columns of a planned query in the table as it is when the query runs: by name, because
 * columns may have been added since, and compared by type.
 */
public final class TableColumns {

  private TableColumns() {}

  /**
   * The positions in the table of the columns of {@code planned}.
   *
   * @throws ValidationException if a column is missing or has another type, nullability apart
   */
  public static int[] find(TableInfo table, RowType planned) {
    RowType tableType = table.rowType();
    int[] positions = new int[planned.getFieldCount()];
    for (int i = 0; i < positions.length; i++) {
      String name = planned.getFieldNames().get(i);
      positions[i] = tableType.getFieldIndex(name);
      if (positions[i] < 0) {
        throw new ValidationException(
            String.format(
                "Column '%s' of the query is not in table %s, whose columns are %s.",
                name, table.path(), tableType.getFieldNames()));
      }
      LogicalType wanted = planned.getTypeAt(i);
      LogicalType actual = tableType.getTypeAt(positions[i]);
      if (!wanted.copy(true).equals(actual.copy(true))) {
        throw new ValidationException(
            String.format(
                "Column '%s' of table %s has type %s, the query expects %s.",
                name, table.path(), actual.asSummaryString(), wanted.asSummaryString()));
      }
    }
    return positions;
  }
}
