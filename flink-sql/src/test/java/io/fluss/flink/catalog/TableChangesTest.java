package io.fluss.flink.catalog;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fluss.client.AddedColumn;
import io.fluss.client.ConfigChange;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.stream.Collectors;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.catalog.Column;
import org.apache.flink.table.catalog.TableChange;
import org.apache.flink.table.catalog.WatermarkSpec;
import org.apache.flink.table.catalog.exceptions.CatalogException;
import org.junit.jupiter.api.Test;

class TableChangesTest {

  private static List<String> convert(TableChange... changes) {
    return TableChanges.of(Arrays.asList(changes)).options().stream()
        .map(TableChangesTest::text)
        .collect(Collectors.toList());
  }

  private static String text(ConfigChange change) {
    return change.isReset() ? "reset " + change.key() : change.key() + "=" + change.value();
  }

  @Test
  void options() {
    assertEquals(
        Arrays.asList("owner=me", "reset scan.startup.mode"),
        convert(TableChange.set("owner", "me"), TableChange.reset("scan.startup.mode")));
  }

  @Test
  void watermark() {
    WatermarkSpec watermark = WatermarkSpec.of("ts", new SqlText(DataTypes.TIMESTAMP(3), "`ts`"));

    assertEquals(
        Arrays.asList(
            "schema.watermark.0.rowtime=ts",
            "schema.watermark.0.strategy.expr=`ts`",
            "schema.watermark.0.strategy.data-type=TIMESTAMP(3)"),
        convert(TableChange.add(watermark)));
    assertEquals(3, convert(TableChange.dropWatermark()).size());
    assertTrue(convert(TableChange.dropWatermark()).get(0).startsWith("reset "));
  }

  @Test
  void optionsThatAreFixed() {
    for (String key :
        Arrays.asList("bucket.num", "bucket.key", "bootstrap.servers", "auto-increment.fields")) {
      CatalogException e =
          assertThrows(CatalogException.class, () -> convert(TableChange.set(key, "1")));
      assertEquals("Option '" + key + "' cannot be changed.", e.getMessage());
    }
  }

  @Test
  void aggregationFunctionsAreFixed() {
    for (TableChange change :
        Arrays.asList(
            TableChange.set("fields.v.agg", "max"),
            TableChange.set("fields.v.listagg.delimiter", "|"),
            TableChange.reset("fields.v.agg"))) {
      CatalogException e = assertThrows(CatalogException.class, () -> convert(change));
      assertTrue(
          e.getMessage()
              .endsWith(
                  "cannot be changed: the aggregation function of a column is set when the table is"
                      + " created."),
          e.getMessage());
    }
  }

  @Test
  void columns() {
    Column last = Column.physical("c", DataTypes.ARRAY(DataTypes.INT())).withComment("new");
    List<AddedColumn> columns =
        TableChanges.of(
                Arrays.asList(
                    TableChange.add(last),
                    TableChange.add(Column.physical("d", DataTypes.STRING().notNull()))))
            .columns();

    assertEquals("c", columns.get(0).name());
    assertEquals("ARRAY<INT>", columns.get(0).type().asSummaryString());
    assertEquals("new", columns.get(0).comment().get());
    assertEquals("d", columns.get(1).name());
    assertEquals("STRING NOT NULL", columns.get(1).type().asSummaryString());
    assertFalse(columns.get(1).comment().isPresent());
  }

  @Test
  void columnsThatCannotBeAdded() {
    Column column = Column.physical("c", DataTypes.INT());
    for (TableChange change :
        Arrays.asList(
            TableChange.add(column, TableChange.ColumnPosition.first()),
            TableChange.add(column, TableChange.ColumnPosition.after("a")),
            TableChange.add(Column.metadata("m", DataTypes.INT(), null, false)),
            TableChange.dropColumn("c"),
            TableChange.modifyColumnName(column, "d"))) {
      assertThrows(
          UnsupportedOperationException.class,
          () -> TableChanges.of(Collections.singletonList(change)));
    }
    assertThrows(
        CatalogException.class,
        () -> TableChanges.of(Arrays.asList(TableChange.add(column), TableChange.set("a", "b"))));
  }
}
