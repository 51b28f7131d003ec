package io.fluss.flink.lookup;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.fluss.client.ClientOptions;
import io.fluss.client.TableInfo;
import io.fluss.flink.Tables;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.types.logical.RowType;
import org.junit.jupiter.api.Test;

class LookupRowsTest {

  /** Produced: v, id. Looked up by id and, beyond the key, v. */
  private static LookupRows rows() {
    TableInfo table = Tables.primaryKeyTable(1);
    RowType produced =
        new RowType(
            Arrays.asList(Tables.ROW_TYPE.getFields().get(1), Tables.ROW_TYPE.getFields().get(0)));
    LookupPlan plan =
        LookupPlan.resolve(
            "db.t", table.primaryKey(), table.bucketKey(), List.of(), produced, new int[] {0, 1});
    return new LookupRows(
        new LookupSpec(
            ClientOptions.fromMap(Map.of("bootstrap.servers", "localhost:1")),
            Tables.PATH,
            produced,
            plan),
        table);
  }

  private static StringData text(String value) {
    return StringData.fromString(value);
  }

  @Test
  void keyIsTakenOutOfTheValues() {
    RowData key = rows().key(GenericRowData.of(text("x"), 5L));

    assertEquals(GenericRowData.of(5L), key);
  }

  @Test
  void nullMatchesNothing() {
    assertNull(rows().key(GenericRowData.of(text("x"), null)));
    assertNull(rows().key(GenericRowData.of(null, 5L)));
  }

  @Test
  void rowsFoundAreComparedAndProjected() {
    RowData values = GenericRowData.of(text("x"), 5L);
    RowData match = GenericRowData.of(5L, text("x"), 1);
    RowData other = GenericRowData.of(5L, text("y"), 1);
    RowData unknown = GenericRowData.of(5L, null, 1);

    Collection<RowData> result = rows().matching(values, Arrays.asList(match, other, unknown));

    assertEquals(1, result.size());
    RowData row = result.iterator().next();
    assertEquals(2, row.getArity());
    assertEquals(text("x"), row.getString(0));
    assertEquals(5L, row.getLong(1));
  }
}
