package io.fluss.flink.catalog;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fluss.client.TableDescriptor;
import io.fluss.client.TableInfo;
import io.fluss.flink.Tables;
import java.util.ArrayList;
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
import org.apache.flink.table.catalog.TableDistribution;
import org.apache.flink.table.catalog.UniqueConstraint;
import org.apache.flink.table.catalog.WatermarkSpec;
import org.apache.flink.table.expressions.ResolvedExpression;
import org.apache.flink.table.types.DataType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class TableMappingTest {

  private static final ResolvedSchema SCHEMA =
      new ResolvedSchema(
          Arrays.asList(
              computed("upper_name", DataTypes.STRING(), "UPPER(`name`)"),
              Column.physical("id", DataTypes.BIGINT().notNull()).withComment("the id"),
              Column.physical("name", DataTypes.STRING()),
              computed("twice", DataTypes.BIGINT(), "`id` * 2").withComment("two times"),
              Column.physical("t", DataTypes.TIME(3)),
              Column.physical("ts", DataTypes.TIMESTAMP(3))),
          Collections.singletonList(
              WatermarkSpec.of(
                  "ts", expression(DataTypes.TIMESTAMP(3), "`ts` - INTERVAL '5' SECOND"))),
          UniqueConstraint.primaryKey("pk", Collections.singletonList("id")));

  private static Column computed(String name, DataType type, String sql) {
    return Column.computed(name, expression(type, sql));
  }

  /** A resolved expression that prints as this SQL. */
  private static ResolvedExpression expression(DataType type, String sql) {
    return new SqlText(type, sql);
  }

  private static ResolvedCatalogTable table(ResolvedSchema schema, Map<String, String> options) {
    return new ResolvedCatalogTable(
        CatalogTable.newBuilder()
            .schema(Schema.newBuilder().fromResolvedSchema(schema).build())
            .comment("a table")
            .options(options)
            .build(),
        schema);
  }

  private static ResolvedSchema columns(Column... columns) {
    return new ResolvedSchema(Arrays.asList(columns), Collections.emptyList(), null);
  }

  private static TableInfo info(TableDescriptor descriptor) {
    return new TableInfo(Tables.PATH, 1, 1, descriptor, 0, 0);
  }

  private static FlussCatalogTable roundTrip(ResolvedCatalogTable table) {
    return TableMapping.toCatalogTable(info(TableMapping.toDescriptor(table)));
  }

  @Test
  void descriptorOfATableWithEverything() {
    Map<String, String> options = new HashMap<>();
    options.put("bucket.num", "3");
    options.put("table.log.ttl", "1 d");
    options.put("client.writer.batch-timeout", "50 ms");
    options.put("owner", "me");
    options.put("connector", "fluss");
    options.put("bootstrap.servers", "elsewhere:1");

    TableDescriptor descriptor = TableMapping.toDescriptor(table(SCHEMA, options));

    assertEquals(Arrays.asList("id", "name", "t", "ts"), descriptor.rowType().getFieldNames());
    assertEquals(Map.of("id", "the id"), descriptor.columnComments());
    assertEquals(Collections.singletonList("id"), descriptor.primaryKey());
    assertEquals(Collections.singletonList("id"), descriptor.bucketKey());
    assertEquals(3, descriptor.bucketCount().getAsInt());
    assertEquals(Map.of("table.log.ttl", "1 d"), descriptor.properties());
    assertEquals("a table", descriptor.comment().get());
    Map<String, String> custom = new HashMap<>();
    custom.put("client.writer.batch-timeout", "50 ms");
    custom.put("owner", "me");
    custom.put("schema.0.name", "upper_name");
    custom.put("schema.0.data-type", "VARCHAR(2147483647)");
    custom.put("schema.0.expr", "UPPER(`name`)");
    custom.put("schema.3.name", "twice");
    custom.put("schema.3.data-type", "BIGINT");
    custom.put("schema.3.expr", "`id` * 2");
    custom.put("schema.3.comment", "two times");
    custom.put("schema.watermark.0.rowtime", "ts");
    custom.put("schema.watermark.0.strategy.expr", "`ts` - INTERVAL '5' SECOND");
    custom.put("schema.watermark.0.strategy.data-type", "TIMESTAMP(3)");
    assertEquals(custom, descriptor.customProperties());
  }

  @Test
  void roundTripKeepsOrderCommentsPrecisionAndWatermark() {
    FlussCatalogTable table = roundTrip(table(SCHEMA, Map.of("bucket.num", "3", "owner", "me")));

    Schema schema = table.getUnresolvedSchema();
    List<String> names = new ArrayList<>();
    schema.getColumns().forEach(column -> names.add(column.getName()));
    assertEquals(Arrays.asList("upper_name", "id", "name", "twice", "t", "ts"), names);
    assertEquals("two times", schema.getColumns().get(3).getComment().get());
    assertEquals("the id", schema.getColumns().get(1).getComment().get());
    assertEquals(
        DataTypes.TIME(3),
        ((Schema.UnresolvedPhysicalColumn) schema.getColumns().get(4)).getDataType());
    assertEquals(Collections.singletonList("id"), schema.getPrimaryKey().get().getColumnNames());
    assertEquals("ts", schema.getWatermarkSpecs().get(0).getColumnName());
    assertEquals("a table", table.getComment());
    assertEquals(Map.of("bucket.num", "3", "bucket.key", "id", "owner", "me"), table.getOptions());
  }

  @Test
  void hintsDoNotBecomeStoredKeys() {
    FlussCatalogTable table = roundTrip(table(SCHEMA, Map.of("owner", "me")));

    FlussCatalogTable hinted =
        (FlussCatalogTable) table.copy(Map.of("owner", "me", "scan.startup.mode", "latest"));

    assertTrue(hinted.storedKeys().contains("owner"));
    assertFalse(hinted.storedKeys().contains("scan.startup.mode"));
    assertEquals("latest", hinted.getOptions().get("scan.startup.mode"));
  }

  @Test
  void bucketsOfALogTable() {
    ResolvedSchema schema =
        columns(Column.physical("a", DataTypes.INT()), Column.physical("b", DataTypes.INT()));

    assertTrue(TableMapping.toDescriptor(table(schema, Map.of())).bucketKey().isEmpty());
    assertFalse(TableMapping.toDescriptor(table(schema, Map.of())).bucketCount().isPresent());
    assertEquals(
        Arrays.asList("b", "a"),
        TableMapping.toDescriptor(table(schema, Map.of("bucket.key", " b, a "))).bucketKey());
  }

  @Test
  void distributedBy() {
    ResolvedSchema schema = columns(Column.physical("a", DataTypes.INT()));
    ResolvedCatalogTable table =
        new ResolvedCatalogTable(
            CatalogTable.newBuilder()
                .schema(Schema.newBuilder().fromResolvedSchema(schema).build())
                .distribution(TableDistribution.ofHash(Collections.singletonList("a"), 5))
                .build(),
            schema);

    TableDescriptor descriptor = TableMapping.toDescriptor(table);
    assertEquals(Collections.singletonList("a"), descriptor.bucketKey());
    assertEquals(5, descriptor.bucketCount().getAsInt());
  }

  static Stream<DataType> supportedTypes() {
    return Stream.of(
        DataTypes.BOOLEAN(),
        DataTypes.TINYINT(),
        DataTypes.SMALLINT(),
        DataTypes.INT(),
        DataTypes.BIGINT(),
        DataTypes.FLOAT(),
        DataTypes.DOUBLE(),
        DataTypes.CHAR(5),
        DataTypes.STRING(),
        DataTypes.BINARY(4),
        DataTypes.BYTES(),
        DataTypes.DECIMAL(38, 10),
        DataTypes.DATE(),
        DataTypes.TIME(0),
        DataTypes.TIME(3),
        DataTypes.TIMESTAMP(0),
        DataTypes.TIMESTAMP(9),
        DataTypes.TIMESTAMP_LTZ(3),
        DataTypes.ARRAY(DataTypes.INT().notNull()),
        DataTypes.MAP(DataTypes.STRING().notNull(), DataTypes.ARRAY(DataTypes.DATE())),
        DataTypes.ROW(
            DataTypes.FIELD("x", DataTypes.INT()),
            DataTypes.FIELD("y", DataTypes.ROW(DataTypes.FIELD("z", DataTypes.STRING())))));
  }

  @ParameterizedTest
  @MethodSource("supportedTypes")
  void typesAreKept(DataType type) {
    FlussCatalogTable table = roundTrip(table(columns(Column.physical("c", type)), Map.of()));

    Schema.UnresolvedPhysicalColumn column =
        (Schema.UnresolvedPhysicalColumn) table.getUnresolvedSchema().getColumns().get(0);
    assertEquals(type.getLogicalType(), ((DataType) column.getDataType()).getLogicalType());
  }

  static Stream<DataType> unsupportedTypes() {
    return Stream.of(
        DataTypes.VARCHAR(10),
        DataTypes.VARBINARY(10),
        DataTypes.INTERVAL(DataTypes.DAY()),
        DataTypes.MULTISET(DataTypes.INT()),
        DataTypes.TIMESTAMP_WITH_TIME_ZONE(3),
        DataTypes.ARRAY(DataTypes.VARCHAR(3)));
  }

  @ParameterizedTest
  @MethodSource("unsupportedTypes")
  void otherTypesAreRefusedByName(DataType type) {
    ValidationException e =
        assertThrows(
            ValidationException.class,
            () ->
                TableMapping.toDescriptor(
                    table(columns(Column.physical("wrong", type)), Map.of())));
    assertTrue(e.getMessage().startsWith("Column 'wrong': type "), e.getMessage());
  }

  @Test
  void whatAFlussTableCannotHaveIsRefused() {
    ResolvedSchema metadata =
        columns(
            Column.physical("a", DataTypes.INT()),
            Column.metadata("m", DataTypes.INT(), null, false));
    ResolvedSchema plain = columns(Column.physical("a", DataTypes.INT()));

    assertThrows(
        ValidationException.class, () -> TableMapping.toDescriptor(table(metadata, Map.of())));
    assertThrows(
        ValidationException.class,
        () -> TableMapping.toDescriptor(table(plain, Map.of("connector", "kafka"))));
    assertThrows(
        ValidationException.class,
        () -> TableMapping.toDescriptor(table(plain, Map.of("bucket.num", "0"))));
    assertThrows(
        ValidationException.class,
        () -> TableMapping.toDescriptor(table(plain, Map.of("bucket.num", "many"))));
  }
}
