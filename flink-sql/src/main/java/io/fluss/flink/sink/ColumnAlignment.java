package io.fluss.flink.sink;

import io.fluss.client.TableInfo;
import io.fluss.flink.row.TableColumns;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import javax.annotation.Nullable;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.RowType;

/**
 * Puts the fields that arrive where the table has them now. Columns of the table that do not arrive
 * are null: those added since the query was planned, and those outside of a partial update.
 */
final class ColumnAlignment {

  private final int[] positions;
  private final RowData.FieldGetter[] getters;
  private final int width;
  private final boolean identical;

  /**
   * @param targetColumns columns that are written, null for all that arrive
   * @param keyOnly whether only keys arrive, of rows to delete
   * @throws ValidationException if a row of the table cannot be made of what arrives
   */
  ColumnAlignment(
      TableInfo table, RowType inputType, @Nullable String[] targetColumns, boolean keyOnly) {
    positions = TableColumns.find(table, inputType);
    width = table.rowType().getFieldCount();
    getters = new RowData.FieldGetter[positions.length];
    for (int i = 0; i < positions.length; i++) {
      getters[i] = RowData.createFieldGetter(inputType.getTypeAt(i), i);
    }
    identical = positions.length == width && isAscending();
    if (targetColumns == null && !keyOnly) {
      checkComplete(table);
    }
  }

  private boolean isAscending() {
    for (int i = 0; i < positions.length; i++) {
      if (positions[i] != i) {
        return false;
      }
    }
    return true;
  }

  private void checkComplete(TableInfo table) {
    Set<Integer> written = new HashSet<>();
    Arrays.stream(positions).forEach(written::add);
    for (int i = 0; i < width; i++) {
      if (!written.contains(i) && !table.rowType().getTypeAt(i).isNullable()) {
        throw new ValidationException(
            String.format(
                "Column '%s' of table %s is NOT NULL and is not written.",
                table.rowType().getFieldNames().get(i), table.path()));
      }
    }
  }

  /** A row with all columns of the table. */
  RowData align(RowData row) {
    if (identical) {
      return row;
    }
    GenericRowData aligned = new GenericRowData(row.getRowKind(), width);
    for (int i = 0; i < positions.length; i++) {
      aligned.setField(positions[i], getters[i].getFieldOrNull(row));
    }
    return aligned;
  }
}
