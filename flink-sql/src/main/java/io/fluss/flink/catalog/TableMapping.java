package io.fluss.flink.catalog;

import io.fluss.client.ConfigChange;
import io.fluss.client.TableDescriptor;
import io.fluss.client.TableInfo;
import io.fluss.flink.table.FlussConnectorOptions;
import io.fluss.flink.table.OptionCheck;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
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
import org.apache.flink.table.expressions.DefaultSqlFactory;
import org.apache.flink.table.expressions.ResolvedExpression;
import org.apache.flink.table.types.logical.BinaryType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.LogicalTypeRoot;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.VarBinaryType;
import org.apache.flink.table.types.logical.VarCharType;

/**
 * Maps tables between Flink's catalog and Fluss.
 *
 * <p>Fluss stores physical columns, keys, comments and two maps of options: {@code table.*} storage
 * properties, and custom properties, which are everything else. Computed columns and watermarks
 * live in custom properties under Flink's own keys:
 *
 * <pre>
 *   schema.[i].name, .data-type, .expr, .comment    the computed column at position i of all columns
 *   schema.watermark.[n].rowtime, .strategy.expr, .strategy.data-type
 * </pre>
 *
 * <p>Options that describe columns (aggregation functions, auto-increment) are part of the Fluss
 * schema.
 */
public final class TableMapping {

  private static final String SCHEMA_PREFIX = "schema.";
  private static final String WATERMARK_PREFIX = "schema.watermark.";
  private static final String NAME = "name";
  private static final String DATA_TYPE = "data-type";
  private static final String EXPR = "expr";
  private static final String COMMENT = "comment";
  private static final String ROWTIME = "rowtime";
  private static final String STRATEGY_EXPR = "strategy.expr";
  private static final String STRATEGY_DATA_TYPE = "strategy.data-type";

  private static final String CONNECTOR = "connector";

  /** Options that describe where a table is rather than what it is; never stored. */
  private static final Set<String> NOT_STORED =
      new HashSet<>(Arrays.asList(CONNECTOR, FlussConnectorOptions.BOOTSTRAP_SERVERS.key()));

  /** Options that make up the descriptor instead of being stored as properties. */
  private static final Set<String> IN_DESCRIPTOR =
      new HashSet<>(
          Arrays.asList(
              FlussConnectorOptions.BUCKET_NUM.key(),
              FlussConnectorOptions.BUCKET_KEY.key(),
              FlussConnectorOptions.AUTO_INCREMENT_FIELDS.key()));

  private TableMapping() {}

  // ------------------------------------------------------------------------------ Flink to Fluss

  /**
   * The Fluss table for a CREATE TABLE statement.
   *
   * @throws ValidationException for what a Fluss table cannot have
   */
  public static TableDescriptor toDescriptor(ResolvedCatalogTable table) {
    Map<String, String> options = table.getOptions();
    String connector = options.get(CONNECTOR);
    if (connector != null && !connector.equals(FlussCatalogFactory.IDENTIFIER)) {
      throw new ValidationException(
          "A Fluss catalog holds only Fluss tables; leave out 'connector' = '" + connector + "'.");
    }
    OptionCheck.checkNewTable(options);

    ResolvedSchema schema = table.getResolvedSchema();
    List<String> primaryKey =
        schema.getPrimaryKey().map(UniqueConstraint::getColumns).orElse(List.of());
    RowType rowType = rowType(schema);
    TableDescriptor.Builder builder =
        TableDescriptor.builder()
            .rowType(rowType)
            .columnComments(columnComments(schema))
            .aggFunctions(AggregationOptions.parse(options, rowType, primaryKey))
            .autoIncrement(autoIncrement(options, rowType, primaryKey))
            .primaryKey(primaryKey)
            .partitionKeys(table.getPartitionKeys())
            .customProperties(computedColumns(schema))
            .customProperties(watermarks(schema.getWatermarkSpecs()));
    if (table.getComment() != null && !table.getComment().isEmpty()) {
      builder.comment(table.getComment());
    }
    distribute(builder, table, primaryKey);
    new TreeMap<>(options)
        .forEach(
            (key, value) -> {
              if (key.startsWith(FlussConnectorOptions.TABLE_PREFIX)) {
                builder.property(key, value);
              } else if (!NOT_STORED.contains(key)
                  && !IN_DESCRIPTOR.contains(key)
                  && !AggregationOptions.isInGroup(key)) {
                builder.customProperty(key, value);
              }
            });
    return builder.build();
  }

  private static RowType rowType(ResolvedSchema schema) {
    List<RowType.RowField> fields = new ArrayList<>();
    for (Column column : schema.getColumns()) {
      if (column instanceof Column.MetadataColumn) {
        throw new ValidationException(
            "Column '" + column.getName() + "': METADATA columns are not supported.");
      }
      if (column.isPhysical()) {
        LogicalType type = column.getDataType().getLogicalType();
        checkType(column.getName(), type);
        fields.add(new RowType.RowField(column.getName(), type));
      }
    }
    if (fields.isEmpty()) {
      throw new ValidationException("A Fluss table needs at least one physical column.");
    }
    return new RowType(false, fields);
  }

  private static void checkType(String column, LogicalType type) {
    switch (type.getTypeRoot()) {
      case VARCHAR:
        if (((VarCharType) type).getLength() != VarCharType.MAX_LENGTH) {
          throw unsupported(column, type, "Use STRING.");
        }
        break;
      case VARBINARY:
        if (((VarBinaryType) type).getLength() != VarBinaryType.MAX_LENGTH) {
          throw unsupported(column, type, "Use BYTES.");
        }
        break;
      case BINARY:
        if (((BinaryType) type).getLength() == BinaryType.EMPTY_LITERAL_LENGTH) {
          throw unsupported(column, type, "Use BYTES.");
        }
        break;
      case CHAR:
      case BOOLEAN:
      case DECIMAL:
      case TINYINT:
      case SMALLINT:
      case INTEGER:
      case BIGINT:
      case FLOAT:
      case DOUBLE:
      case DATE:
      case TIME_WITHOUT_TIME_ZONE:
      case TIMESTAMP_WITHOUT_TIME_ZONE:
      case TIMESTAMP_WITH_LOCAL_TIME_ZONE:
        break;
      case ARRAY:
      case MAP:
      case ROW:
        type.getChildren().forEach(child -> checkType(column, child));
        break;
      default:
        throw unsupported(column, type, "Fluss has no such type.");
    }
  }

  private static ValidationException unsupported(String column, LogicalType type, String hint) {
    return new ValidationException(
        String.format(
            "Column '%s': type %s is not supported. %s", column, type.asSummaryString(), hint));
  }

  private static Map<String, String> columnComments(ResolvedSchema schema) {
    Map<String, String> comments = new LinkedHashMap<>();
    for (Column column : schema.getColumns()) {
      if (column.isPhysical()) {
        column.getComment().ifPresent(comment -> comments.put(column.getName(), comment));
      }
    }
    return comments;
  }

  private static List<String> autoIncrement(
      Map<String, String> options, RowType columns, List<String> primaryKey) {
    String key = FlussConnectorOptions.AUTO_INCREMENT_FIELDS.key();
    String value = options.get(key);
    if (value == null) {
      return Collections.emptyList();
    }
    List<String> names = names(value);
    if (names.size() != 1) {
      throw new ValidationException(
          String.format("'%s' = '%s' must name one column; a table has at most one.", key, value));
    }
    String name = names.get(0);
    int index = columns.getFieldIndex(name);
    if (index < 0) {
      throw new ValidationException(
          String.format(
              "'%s' = '%s' names no column of the table; its physical columns are %s.",
              key, value, columns.getFieldNames()));
    }
    if (primaryKey.isEmpty() || primaryKey.contains(name)) {
      throw new ValidationException(
          String.format(
              "'%s' = '%s' needs a table with a primary key to which the column does not belong.",
              key, value));
    }
    LogicalTypeRoot root = columns.getTypeAt(index).getTypeRoot();
    if (root != LogicalTypeRoot.INTEGER && root != LogicalTypeRoot.BIGINT) {
      throw new ValidationException(
          String.format(
              "'%s' = '%s': the column must be INT or BIGINT, not %s.",
              key, value, columns.getTypeAt(index).asSummaryString()));
    }
    return names;
  }

  private static Map<String, String> computedColumns(ResolvedSchema schema) {
    Map<String, String> properties = new LinkedHashMap<>();
    List<Column> columns = schema.getColumns();
    for (int i = 0; i < columns.size(); i++) {
      if (columns.get(i) instanceof Column.ComputedColumn) {
        Column.ComputedColumn column = (Column.ComputedColumn) columns.get(i);
        String prefix = SCHEMA_PREFIX + i + ".";
        properties.put(prefix + NAME, column.getName());
        properties.put(
            prefix + DATA_TYPE, column.getDataType().getLogicalType().asSerializableString());
        properties.put(prefix + EXPR, sql(column.getExpression()));
        column.getComment().ifPresent(comment -> properties.put(prefix + COMMENT, comment));
      }
    }
    return properties;
  }

  private static String sql(ResolvedExpression expression) {
    return expression.asSerializableString(DefaultSqlFactory.INSTANCE);
  }

  /** The custom properties of watermarks. */
  static Map<String, String> watermarks(List<WatermarkSpec> watermarks) {
    Map<String, String> properties = new LinkedHashMap<>();
    for (int i = 0; i < watermarks.size(); i++) {
      WatermarkSpec watermark = watermarks.get(i);
      String prefix = WATERMARK_PREFIX + i + ".";
      ResolvedExpression expression = watermark.getWatermarkExpression();
      properties.put(prefix + ROWTIME, watermark.getRowtimeAttribute());
      properties.put(prefix + STRATEGY_EXPR, sql(expression));
      properties.put(
          prefix + STRATEGY_DATA_TYPE,
          expression.getOutputDataType().getLogicalType().asSerializableString());
    }
    return properties;
  }

  /** The changes that remove the watermark. */
  static List<ConfigChange> withoutWatermark() {
    String prefix = WATERMARK_PREFIX + 0 + ".";
    return Arrays.asList(
        ConfigChange.reset(prefix + ROWTIME),
        ConfigChange.reset(prefix + STRATEGY_EXPR),
        ConfigChange.reset(prefix + STRATEGY_DATA_TYPE));
  }

  private static void distribute(
      TableDescriptor.Builder builder, ResolvedCatalogTable table, List<String> primaryKey) {
    Map<String, String> options = table.getOptions();
    Optional<TableDistribution> distribution = table.getDistribution();
    String bucketNum = options.get(FlussConnectorOptions.BUCKET_NUM.key());
    if (bucketNum != null) {
      builder.bucketCount(positive(bucketNum));
    } else {
      distribution.flatMap(TableDistribution::getBucketCount).ifPresent(builder::bucketCount);
    }
    List<String> bucketKey = new ArrayList<>(primaryKey);
    bucketKey.removeAll(table.getPartitionKeys());
    if (options.containsKey(FlussConnectorOptions.BUCKET_KEY.key())) {
      bucketKey = names(options.get(FlussConnectorOptions.BUCKET_KEY.key()));
    } else if (distribution.isPresent() && !distribution.get().getBucketKeys().isEmpty()) {
      bucketKey = distribution.get().getBucketKeys();
    }
    builder.bucketKey(bucketKey);
  }

  private static int positive(String number) {
    try {
      int value = Integer.parseInt(number.trim());
      if (value > 0) {
        return value;
      }
    } catch (NumberFormatException e) {
      throw new ValidationException("'bucket.num' = '" + number + "' is not a number.", e);
    }
    throw new ValidationException("'bucket.num' = '" + number + "' is not above 0.");
  }

  private static List<String> names(String list) {
    return Arrays.stream(list.split(","))
        .map(String::trim)
        .filter(name -> !name.isEmpty())
        .collect(Collectors.toList());
  }

  // ------------------------------------------------------------------------------ Fluss to Flink

  /** The table as Flink's catalog shows it. */
  public static FlussCatalogTable toCatalogTable(TableInfo info) {
    return new FlussCatalogTable(
        CatalogTable.newBuilder()
            .schema(schema(info))
            .comment(info.comment().orElse(null))
            .partitionKeys(info.partitionKeys())
            .options(options(info))
            .build(),
        AggregationOptions.lost(
            info.properties(),
            info.customProperties(),
            info.rowType().getFieldNames(),
            info.aggFunctions()));
  }

  private static Schema schema(TableInfo info) {
    Map<String, String> stored = info.customProperties();
    Schema.Builder builder = Schema.newBuilder();
    List<RowType.RowField> physical = info.rowType().getFields();
    int next = 0;
    for (int i = 0; next < physical.size() || isComputed(stored, i); i++) {
      if (isComputed(stored, i)) {
        String prefix = SCHEMA_PREFIX + i + ".";
        builder.columnByExpression(stored.get(prefix + NAME), stored.get(prefix + EXPR));
        builder.withComment(stored.get(prefix + COMMENT));
      } else {
        RowType.RowField field = physical.get(next++);
        builder.column(field.getName(), DataTypes.of(field.getType()));
        builder.withComment(info.columnComments().get(field.getName()));
      }
    }
    for (int i = 0; stored.containsKey(WATERMARK_PREFIX + i + "." + ROWTIME); i++) {
      String prefix = WATERMARK_PREFIX + i + ".";
      builder.watermark(stored.get(prefix + ROWTIME), stored.get(prefix + STRATEGY_EXPR));
    }
    if (info.hasPrimaryKey()) {
      builder.primaryKey(info.primaryKey());
    }
    return builder.build();
  }

  private static boolean isComputed(Map<String, String> stored, int position) {
    return stored.containsKey(SCHEMA_PREFIX + position + "." + EXPR);
  }

  private static Map<String, String> options(TableInfo info) {
    Map<String, String> options = new HashMap<>(info.properties());
    info.customProperties()
        .forEach(
            (key, value) -> {
              if (!key.startsWith(SCHEMA_PREFIX)
                  && !NOT_STORED.contains(key)
                  && !IN_DESCRIPTOR.contains(key)
                  && !AggregationOptions.isOption(key, info.rowType().getFieldNames())) {
                options.put(key, value);
              }
            });
    options.putAll(AggregationOptions.format(info.aggFunctions()));
    if (!info.autoIncrement().isEmpty()) {
      options.put(
          FlussConnectorOptions.AUTO_INCREMENT_FIELDS.key(),
          String.join(",", info.autoIncrement()));
    }
    options.put(FlussConnectorOptions.BUCKET_NUM.key(), String.valueOf(info.bucketCount()));
    if (!info.bucketKey().isEmpty()) {
      options.put(FlussConnectorOptions.BUCKET_KEY.key(), String.join(",", info.bucketKey()));
    }
    return options;
  }
}
