package io.fluss.flink.catalog;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fluss.client.AggFunction;
import io.fluss.client.TableDescriptor;
import io.fluss.client.TableInfo;
import io.fluss.flink.Tables;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.api.Schema;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.catalog.CatalogTable;
import org.apache.flink.table.catalog.Column;
import org.apache.flink.table.catalog.ResolvedCatalogTable;
import org.apache.flink.table.catalog.ResolvedSchema;
import org.apache.flink.table.catalog.UniqueConstraint;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Options that describe columns: aggregation functions and auto-increment. */
class ColumnOptionsTest {

  private static final List<Column> COLUMNS =
      Arrays.asList(
          Column.physical("id", DataTypes.BIGINT().notNull()),
          Column.physical("v", DataTypes.BIGINT()),
          Column.physical("words", DataTypes.STRING()),
          Column.physical("v.sum", DataTypes.INT()),
          Column.physical("short", DataTypes.CHAR(3)),
          Column.physical("flag", DataTypes.BOOLEAN()),
          Column.physical("bitmap", DataTypes.BYTES()),
          Column.physical("list", DataTypes.ARRAY(DataTypes.INT())));

  private static TableDescriptor keyed(Map<String, String> options) {
    return descriptor(UniqueConstraint.primaryKey("pk", Collections.singletonList("id")), options);
  }

  private static TableDescriptor descriptor(UniqueConstraint key, Map<String, String> options) {
    ResolvedSchema schema = new ResolvedSchema(COLUMNS, Collections.emptyList(), key);
    return TableMapping.toDescriptor(
        new ResolvedCatalogTable(
            CatalogTable.newBuilder()
                .schema(Schema.newBuilder().fromResolvedSchema(schema).build())
                .options(options)
                .build(),
            schema));
  }

  private static TableDescriptor aggregating(String... keysAndValues) {
    Map<String, String> options = new HashMap<>();
    options.put("table.merge-engine", "AGGREGATION");
    for (int i = 0; i < keysAndValues.length; i += 2) {
      options.put(keysAndValues[i], keysAndValues[i + 1]);
    }
    return keyed(options);
  }

  private static FlussCatalogTable shown(TableDescriptor descriptor) {
    return TableMapping.toCatalogTable(new TableInfo(Tables.PATH, 1, 1, descriptor, 0, 0));
  }

  private static AggFunction function(String name) {
    return new AggFunction(name, Collections.emptyMap());
  }

  @Test
  void functionsBecomePartOfTheSchema() {
    TableDescriptor table =
        aggregating(
            "fields.v.agg", "Last-Value",
            "fields.v.sum.agg", "SUM",
            "fields.words.agg", "listagg",
            "fields.words.LISTAGG.delimiter", " | ",
            "owner", "me");

    Map<String, AggFunction> expected = new HashMap<>();
    expected.put("v", function("last_value"));
    expected.put("v.sum", function("sum"));
    expected.put("words", new AggFunction("listagg", Map.of("delimiter", " | ")));
    assertEquals(expected, table.aggFunctions());
    assertEquals(Map.of("owner", "me"), table.customProperties());
  }

  @Test
  void functionsAreShownAsTheSchemaHasThem() {
    TableDescriptor created =
        aggregating(
            "fields.v.agg",
            "SUM",
            "fields.words.agg",
            "string-agg",
            "fields.words.string-agg.delimiter",
            ";");
    FlussCatalogTable table = shown(created);

    Map<String, String> options = new HashMap<>(table.getOptions());
    options.keySet().removeIf(key -> !key.startsWith("fields."));
    assertEquals(
        Map.of(
            "fields.v.agg", "sum",
            "fields.words.agg", "string_agg",
            "fields.words.string_agg.delimiter", ";"),
        options);
    // CREATE TABLE ... LIKE passes on what is shown.
    assertEquals(created.aggFunctions(), keyed(table.getOptions()).aggFunctions());
    assertTrue(table.lostFunctions().isEmpty());
  }

  @Test
  void storedPropertiesDoNotStandInForTheSchema() {
    TableDescriptor old =
        TableDescriptor.builder()
            .rowType(Tables.ROW_TYPE)
            .primaryKey(Collections.singletonList("id"))
            .property("table.merge-engine", "aggregation")
            .customProperty("fields.n.agg", "sum")
            .customProperty("fields.v.listagg.delimiter", "|")
            .customProperty("fields.note", "of the user")
            .build();
    FlussCatalogTable table = shown(old);

    assertEquals(Collections.singletonList("n"), table.lostFunctions());
    assertEquals(
        Collections.singletonList("n"),
        ((FlussCatalogTable) table.copy(new HashMap<>())).lostFunctions());
    assertFalse(table.getOptions().containsKey("fields.n.agg"));
    assertFalse(table.getOptions().containsKey("fields.v.listagg.delimiter"));
    assertEquals("of the user", table.getOptions().get("fields.note"));
  }

  static Stream<Arguments> refusedFunctions() {
    return Stream.of(
        Arguments.of("fields.v.agg", "total", "there is no such function; functions are [sum, "),
        Arguments.of("fields.v.agg", "", "there is no such function"),
        Arguments.of("fields.id.agg", "sum", "belongs to the primary key"),
        Arguments.of("fields.x.agg", "sum", "names no column of the table"),
        Arguments.of("fields.agg", "sum", "names no column of the table"),
        Arguments.of("fields.v.aggg", "sum", "Did you mean 'fields.v.agg'?"),
        Arguments.of("fields.v.listagg.delimiter", "|", "has no effect: 'fields.v.agg' is not set"),
        Arguments.of("fields.words.agg", "sum", "sum cannot aggregate column 'words' of type"),
        Arguments.of("fields.short.agg", "listagg", "cannot aggregate column 'short'"),
        Arguments.of("fields.flag.agg", "max", "cannot aggregate column 'flag'"),
        Arguments.of("fields.v.agg", "bool_or", "cannot aggregate column 'v'"),
        Arguments.of("fields.words.agg", "rbm32", "cannot aggregate column 'words'"));
  }

  @ParameterizedTest
  @MethodSource("refusedFunctions")
  void functionsThatCannotBeMappedAreRefused(String key, String value, String message) {
    ValidationException e = assertThrows(ValidationException.class, () -> aggregating(key, value));
    assertTrue(e.getMessage().contains(message), e.getMessage());
    assertTrue(e.getMessage().contains("'" + key + "'"), e.getMessage());
  }

  @Test
  void parametersThatCannotBeMappedAreRefused() {
    for (List<String> options :
        Arrays.asList(
            Arrays.asList("fields.words.agg", "listagg", "fields.words.listagg.separator", "|"),
            Arrays.asList("fields.words.agg", "listagg", "fields.words.listagg.delimiter", ""),
            Arrays.asList("fields.words.agg", "max", "fields.words.listagg.delimiter", "|"),
            Arrays.asList("fields.v.agg", "sum", "fields.v.sum.delimiter", "|"))) {
      assertThrows(ValidationException.class, () -> aggregating(options.toArray(new String[0])));
    }
  }

  @Test
  void functionsNeedAnAggregationTable() {
    ValidationException e =
        assertThrows(ValidationException.class, () -> keyed(Map.of("fields.v.agg", "sum")));
    assertTrue(e.getMessage().contains("'table.merge-engine' = 'aggregation'"), e.getMessage());
  }

  @Test
  void functionsForEveryType() {
    for (String name :
        Arrays.asList(
            "last_value", "last_value_ignore_nulls", "first_value", "first_value_ignore_nulls")) {
      assertEquals(function(name), aggregating("fields.list.agg", name).aggFunctions().get("list"));
    }
    for (String name : Arrays.asList("rbm32", "rbm64")) {
      assertEquals(
          function(name), aggregating("fields.bitmap.agg", name).aggFunctions().get("bitmap"));
    }
  }

  @Test
  void autoIncrementBecomesPartOfTheSchemaAndIsShown() {
    TableDescriptor table = keyed(Map.of("auto-increment.fields", " v "));

    assertEquals(Collections.singletonList("v"), table.autoIncrement());
    assertTrue(table.customProperties().isEmpty());
    assertEquals("v", shown(table).getOptions().get("auto-increment.fields"));
  }

  @ParameterizedTest
  @CsvSource({
    "'v,v.sum', must name one column",
    "'', must name one column",
    "x, names no column",
    "id, needs a table with a primary key to which the column does not belong",
    "words, must be INT or BIGINT"
  })
  void autoIncrementThatCannotBeMappedIsRefused(String value, String message) {
    ValidationException e =
        assertThrows(
            ValidationException.class, () -> keyed(Map.of("auto-increment.fields", value)));
    assertTrue(e.getMessage().contains(message), e.getMessage());
    assertThrows(
        ValidationException.class, () -> descriptor(null, Map.of("auto-increment.fields", "v")));
  }
}
