package io.fluss.flink.table;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.fluss.client.ClientOptions;
import io.fluss.flink.Tables;
import java.util.List;
import java.util.Map;
import org.apache.flink.types.RowKind;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TableSpecTest {

  private static String kinds(boolean primaryKey, Map<String, String> options) {
    TableSpec table =
        new TableSpec(
            Tables.PATH,
            Tables.ROW_TYPE,
            primaryKey ? new int[] {0} : new int[0],
            List.of(),
            options,
            ClientOptions.fromMap(Map.of("bootstrap.servers", "localhost:1")));
    StringBuilder text = new StringBuilder();
    for (RowKind kind : RowKind.values()) {
      text.append(table.changelogMode().contains(kind) ? kind.shortString() : "");
    }
    return text.toString();
  }

  @ParameterizedTest
  @CsvSource({
    "FULL, ALLOW, +I-U+U-D",
    "full, IGNORE, +I-U+U",
    "FULL, disable, +I-U+U",
    "WAL, ALLOW, +I+U-D",
    "wal, DISABLE, +I+U"
  })
  void changelogFollowsTheOptions(String image, String deletes, String expected) {
    assertEquals(
        expected,
        kinds(true, Map.of("table.changelog.image", image, "table.delete.behavior", deletes)));
  }

  @ParameterizedTest
  @CsvSource({"false, '', +I", "true, '', +I-U+U-D", "true, first_row, +I"})
  void logTablesAndFirstRowOnlyInsert(boolean primaryKey, String mergeEngine, String expected) {
    assertEquals(expected, kinds(primaryKey, Map.of("table.merge-engine", mergeEngine)));
  }
}
