package io.fluss.client.json;

import io.fluss.client.AggFunction;
import io.fluss.client.DatabaseDescriptor;
import io.fluss.client.TableDescriptor;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;

/**
 * The JSON documents of the protocol: schema, table descriptor and database descriptor, all of
 * version 1.
 */
public final class MetadataJson {
  private MetadataJson() {}

  /** Columns of one schema version. */
  public static final class Schema {
    private final RowType rowType;
    private final List<Integer> columnIds;
    private final Map<String, String> columnComments;
    private final Map<String, AggFunction> aggFunctions;
    private final List<String> autoIncrement;
    private final List<String> primaryKey;

    Schema(
        RowType rowType,
        List<Integer> columnIds,
        Map<String, String> columnComments,
        Map<String, AggFunction> aggFunctions,
        List<String> autoIncrement,
        List<String> primaryKey) {
      this.rowType = rowType;
      this.columnIds = columnIds;
      this.columnComments = columnComments;
      this.aggFunctions = aggFunctions;
      this.autoIncrement = autoIncrement;
      this.primaryKey = primaryKey;
    }

    public RowType rowType() {
      return rowType;
    }

    /** Stable ids by position. */
    public List<Integer> columnIds() {
      return columnIds;
    }
  }

  /** Document of a table; column ids count in declaration order, as for a new table. */
  public static String tableToJson(TableDescriptor table) {
    Map<String, Object> json = new LinkedHashMap<>();
    json.put("version", 1);
    json.put("schema", schemaToJson(table));
    table.comment().ifPresent(text -> json.put("comment", text));
    json.put("partition_key", table.partitionKeys());
    List<String> bucketKey = table.bucketKey();
    if (bucketKey.isEmpty() && !table.primaryKey().isEmpty()) {
      bucketKey = new ArrayList<>(table.primaryKey());
      bucketKey.removeAll(table.partitionKeys());
    }
    if (!bucketKey.isEmpty() || table.bucketCount().isPresent()) {
      json.put("bucket_key", bucketKey);
    }
    table.bucketCount().ifPresent(count -> json.put("bucket_count", count));
    json.put("properties", table.properties());
    json.put("custom_properties", table.customProperties());
    return Json.write(json);
  }

  private static Map<String, Object> schemaToJson(TableDescriptor table) {
    Map<String, Object> json = new LinkedHashMap<>();
    json.put("version", 1);
    TypeJson.FieldIds ids = new TypeJson.FieldIds();
    List<Object> columns = new ArrayList<>();
    for (RowType.RowField field : table.rowType().getFields()) {
      Map<String, Object> column = new LinkedHashMap<>();
      int id = ids.take();
      boolean key = table.primaryKey().contains(field.getName());
      LogicalType type = key ? field.getType().copy(false) : field.getType();
      column.put("name", field.getName());
      column.put("data_type", TypeJson.toJson(type, ids));
      String comment = table.columnComments().get(field.getName());
      if (comment != null) {
        column.put("comment", comment);
      }
      AggFunction function = table.aggFunctions().get(field.getName());
      if (function != null) {
        column.put("agg_function", functionToJson(function));
      }
      column.put("id", id);
      columns.add(column);
    }
    json.put("columns", columns);
    if (!table.primaryKey().isEmpty()) {
      json.put("primary_key", table.primaryKey());
    }
    if (!table.autoIncrement().isEmpty()) {
      json.put("auto_increment_column", table.autoIncrement());
    }
    json.put("highest_field_id", ids.highest());
    return json;
  }

  private static Map<String, Object> functionToJson(AggFunction function) {
    Map<String, Object> json = new LinkedHashMap<>();
    json.put("type", function.name());
    if (!function.parameters().isEmpty()) {
      json.put("parameters", function.parameters());
    }
    return json;
  }

  public static TableDescriptor tableFromJson(byte[] utf8) {
    Map<String, Object> json = TypeJson.object(Json.parse(utf8), "table");
    Schema schema = schemaFromJson(json.get("schema"));
    TableDescriptor.Builder builder =
        TableDescriptor.builder()
            .rowType(schema.rowType)
            .columnIds(schema.columnIds)
            .columnComments(schema.columnComments)
            .aggFunctions(schema.aggFunctions)
            .autoIncrement(schema.autoIncrement)
            .primaryKey(schema.primaryKey)
            .partitionKeys(strings(json.get("partition_key")))
            .bucketKey(strings(json.get("bucket_key")))
            .properties(texts(json.get("properties")))
            .customProperties(texts(json.get("custom_properties")));
    if (json.get("bucket_count") != null) {
      builder.bucketCount(TypeJson.integer(json, "bucket_count"));
    }
    if (json.get("comment") != null) {
      builder.comment(TypeJson.string(json, "comment"));
    }
    return builder.build();
  }

  public static Schema schemaFromJson(byte[] utf8) {
    return schemaFromJson(Json.parse(utf8));
  }

  private static Schema schemaFromJson(Object value) {
    Map<String, Object> json = TypeJson.object(value, "schema");
    List<String> primaryKey = strings(json.get("primary_key"));
    List<RowType.RowField> fields = new ArrayList<>();
    List<Integer> ids = new ArrayList<>();
    Map<String, String> comments = new LinkedHashMap<>();
    Map<String, AggFunction> functions = new LinkedHashMap<>();
    for (Object item : TypeJson.list(json, "columns")) {
      Map<String, Object> column = TypeJson.object(item, "column");
      String name = TypeJson.string(column, "name");
      LogicalType type = TypeJson.fromJson(column.get("data_type"));
      fields.add(new RowType.RowField(name, primaryKey.contains(name) ? type.copy(false) : type));
      // Documents of very old servers have no ids: then they are the positions.
      ids.add(column.get("id") == null ? ids.size() : TypeJson.integer(column, "id"));
      if (column.get("comment") != null) {
        comments.put(name, TypeJson.string(column, "comment"));
      }
      if (column.get("agg_function") != null) {
        Map<String, Object> function =
            TypeJson.object(column.get("agg_function"), "aggregation function");
        functions.put(
            name,
            new AggFunction(TypeJson.string(function, "type"), texts(function.get("parameters"))));
      }
    }
    return new Schema(
        new RowType(false, fields),
        ids,
        comments,
        functions,
        strings(json.get("auto_increment_column")),
        primaryKey);
  }

  public static String databaseToJson(DatabaseDescriptor database) {
    Map<String, Object> json = new LinkedHashMap<>();
    json.put("version", 1);
    database.comment().ifPresent(text -> json.put("comment", text));
    json.put("custom_properties", database.customProperties());
    return Json.write(json);
  }

  public static DatabaseDescriptor databaseFromJson(byte[] utf8) {
    Map<String, Object> json = TypeJson.object(Json.parse(utf8), "database");
    return new DatabaseDescriptor(
        json.get("comment") == null ? null : TypeJson.string(json, "comment"),
        texts(json.get("custom_properties")));
  }

  private static List<String> strings(Object value) {
    if (value == null) {
      return Collections.emptyList();
    }
    List<String> result = new ArrayList<>();
    for (Object item : (List<?>) value) {
      result.add((String) item);
    }
    return result;
  }

  private static Map<String, String> texts(Object value) {
    Map<String, String> result = new LinkedHashMap<>();
    if (value != null) {
      TypeJson.object(value, "properties").forEach((key, text) -> result.put(key, (String) text));
    }
    return result;
  }
}
