package io.fluss.flink.sink;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.fluss.client.TableInfo;
import io.fluss.flink.Tables;
import java.util.Arrays;
import java.util.Collections;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.types.logical.BigIntType;
import org.apache.flink.table.types.logical.IntType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.types.RowKind;
import org.junit.jupiter.api.Test;

class ColumnAlignmentTest {

  private static RowType columns(int... indexes) {
    RowType.RowField[] fields =
        Arrays.stream(indexes)
            .mapToObj(Tables.ROW_TYPE.getFields()::get)
            .toArray(RowType.RowField[]::new);
    return new RowType(Arrays.asList(fields));
  }

  @Test
  void rowsOfTheTableAreNotTouched() {
    ColumnAlignment alignment =
        new ColumnAlignment(Tables.logTable(1), Tables.ROW_TYPE, null, false);
    RowData row = GenericRowData.of(1L, StringData.fromString("x"), 3);

    assertSame(row, alignment.align(row));
  }

  @Test
  void fieldsGoWhereTheTableHasThemAndOthersAreNull() {
    ColumnAlignment alignment =
        new ColumnAlignment(Tables.primaryKeyTable(1), columns(2, 0), null, false);

    RowData aligned = alignment.align(GenericRowData.ofKind(RowKind.DELETE, 3, 1L));

    assertEquals(GenericRowData.ofKind(RowKind.DELETE, 1L, null, 3), aligned);
  }

  @Test
  void notNullColumnsMustBeWritten() {
    TableInfo table =
        Tables.table(
            new RowType(
                Arrays.asList(
                    new RowType.RowField("id", new BigIntType(false)),
                    new RowType.RowField("n", new IntType(false)))),
            Collections.singletonList("id"),
            Collections.emptyList(),
            1);
    RowType onlyId = new RowType(table.rowType().getFields().subList(0, 1));

    assertThrows(ValidationException.class, () -> new ColumnAlignment(table, onlyId, null, false));
    // For a delete the key is enough, and a partial update is for the server to validate.
    new ColumnAlignment(table, onlyId, null, true);
    new ColumnAlignment(table, onlyId, new String[] {"id"}, false);
  }

  @Test
  void columnsMustExistWithTheSameType() {
    RowType unknown =
        new RowType(Collections.singletonList(new RowType.RowField("gone", new IntType())));
    RowType changed =
        new RowType(Collections.singletonList(new RowType.RowField("n", new BigIntType())));

    assertThrows(
        ValidationException.class,
        () -> new ColumnAlignment(Tables.logTable(1), unknown, null, false));
    assertThrows(
        ValidationException.class,
        () -> new ColumnAlignment(Tables.logTable(1), changed, null, false));
  }
}
