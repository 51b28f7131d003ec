package io.fluss.client.json;

import io.fluss.client.ErrorCode;
import io.fluss.client.FlussException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.table.types.logical.ArrayType;
import org.apache.flink.table.types.logical.BigIntType;
import org.apache.flink.table.types.logical.BinaryType;
import org.apache.flink.table.types.logical.BooleanType;
import org.apache.flink.table.types.logical.CharType;
import org.apache.flink.table.types.logical.DateType;
import org.apache.flink.table.types.logical.DecimalType;
import org.apache.flink.table.types.logical.DoubleType;
import org.apache.flink.table.types.logical.FloatType;
import org.apache.flink.table.types.logical.IntType;
import org.apache.flink.table.types.logical.LocalZonedTimestampType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.MapType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.SmallIntType;
import org.apache.flink.table.types.logical.TimeType;
import org.apache.flink.table.types.logical.TimestampType;
import org.apache.flink.table.types.logical.TinyIntType;
import org.apache.flink.table.types.logical.VarBinaryType;
import org.apache.flink.table.types.logical.VarCharType;

/**
 * Flink types and the {@code data_type} objects of schema documents: {@code {"type": ROOT, ...}}
 * with {@code "nullable": false} only when not nullable.
 */
public final class TypeJson {
  private TypeJson() {}

  /**
   * Hands out stable ids in document order, depth first; ROW fields take ids, array and map
   * wrappers do not.
   */
  static final class FieldIds {
    private int next;

    int take() {
      return next++;
    }

    int highest() {
      return next - 1;
    }
  }

  /** Type object without regard to ids of nested fields (they count from 0). */
  public static Map<String, Object> toJson(LogicalType type) {
    return toJson(type, new FieldIds());
  }

  static Map<String, Object> toJson(LogicalType type, FieldIds ids) {
    Map<String, Object> json = new LinkedHashMap<>();
    json.put("type", rootName(type));
    if (!type.isNullable()) {
      json.put("nullable", false);
    }
    switch (type.getTypeRoot()) {
      case CHAR:
        json.put("length", ((CharType) type).getLength());
        break;
      case BINARY:
        json.put("length", ((BinaryType) type).getLength());
        break;
      case DECIMAL:
        json.put("precision", ((DecimalType) type).getPrecision());
        json.put("scale", ((DecimalType) type).getScale());
        break;
      case TIME_WITHOUT_TIME_ZONE:
        json.put("precision", ((TimeType) type).getPrecision());
        break;
      case TIMESTAMP_WITHOUT_TIME_ZONE:
        json.put("precision", ((TimestampType) type).getPrecision());
        break;
      case TIMESTAMP_WITH_LOCAL_TIME_ZONE:
        json.put("precision", ((LocalZonedTimestampType) type).getPrecision());
        break;
      case ARRAY:
        json.put("element_type", toJson(((ArrayType) type).getElementType(), ids));
        break;
      case MAP:
        json.put("key_type", toJson(((MapType) type).getKeyType().copy(false), ids));
        json.put("value_type", toJson(((MapType) type).getValueType(), ids));
        break;
      case ROW:
        List<Object> fields = new ArrayList<>();
        for (RowType.RowField field : ((RowType) type).getFields()) {
          Map<String, Object> object = new LinkedHashMap<>();
          int id = ids.take();
          object.put("name", field.getName());
          object.put("field_type", toJson(field.getType(), ids));
          field.getDescription().ifPresent(text -> object.put("description", text));
          object.put("field_id", id);
          fields.add(object);
        }
        json.put("fields", fields);
        break;
      default:
        break;
    }
    return json;
  }

  private static String rootName(LogicalType type) {
    switch (type.getTypeRoot()) {
      case VARCHAR:
        if (((VarCharType) type).getLength() != VarCharType.MAX_LENGTH) {
          throw unsupported(type, "use STRING or CHAR(n)");
        }
        return "STRING";
      case VARBINARY:
        if (((VarBinaryType) type).getLength() != VarBinaryType.MAX_LENGTH) {
          throw unsupported(type, "use BYTES or BINARY(n)");
        }
        return "BYTES";
      case BOOLEAN:
      case TINYINT:
      case SMALLINT:
      case INTEGER:
      case BIGINT:
      case FLOAT:
      case DOUBLE:
      case CHAR:
      case BINARY:
      case DECIMAL:
      case DATE:
      case TIME_WITHOUT_TIME_ZONE:
      case TIMESTAMP_WITHOUT_TIME_ZONE:
      case TIMESTAMP_WITH_LOCAL_TIME_ZONE:
      case ARRAY:
      case MAP:
      case ROW:
        return type.getTypeRoot().name();
      default:
        throw unsupported(type, "Fluss has no such type");
    }
  }

  private static FlussException unsupported(LogicalType type, String hint) {
    return new FlussException(
        ErrorCode.INVALID_TABLE_EXCEPTION,
        "Unsupported data type: " + type.asSummaryString() + " (" + hint + ")");
  }

  /** The type of a type object. */
  public static LogicalType fromJson(Object value) {
    Map<String, Object> json = object(value, "data type");
    boolean nullable = !Boolean.FALSE.equals(json.get("nullable"));
    String root = string(json, "type");
    switch (root) {
      case "BOOLEAN":
        return new BooleanType(nullable);
      case "TINYINT":
        return new TinyIntType(nullable);
      case "SMALLINT":
        return new SmallIntType(nullable);
      case "INTEGER":
        return new IntType(nullable);
      case "BIGINT":
        return new BigIntType(nullable);
      case "FLOAT":
        return new FloatType(nullable);
      case "DOUBLE":
        return new DoubleType(nullable);
      case "CHAR":
        return new CharType(nullable, integer(json, "length"));
      case "STRING":
        return new VarCharType(nullable, VarCharType.MAX_LENGTH);
      case "BINARY":
        return new BinaryType(nullable, integer(json, "length"));
      case "BYTES":
        return new VarBinaryType(nullable, VarBinaryType.MAX_LENGTH);
      case "DECIMAL":
        return new DecimalType(nullable, integer(json, "precision"), integer(json, "scale"));
      case "DATE":
        return new DateType(nullable);
      case "TIME_WITHOUT_TIME_ZONE":
        return new TimeType(nullable, integer(json, "precision"));
      case "TIMESTAMP_WITHOUT_TIME_ZONE":
        return new TimestampType(nullable, integer(json, "precision"));
      case "TIMESTAMP_WITH_LOCAL_TIME_ZONE":
        return new LocalZonedTimestampType(nullable, integer(json, "precision"));
      case "ARRAY":
        return new ArrayType(nullable, fromJson(json.get("element_type")));
      case "MAP":
        return new MapType(
            nullable, fromJson(json.get("key_type")).copy(false), fromJson(json.get("value_type")));
      case "ROW":
        List<RowType.RowField> fields = new ArrayList<>();
        for (Object item : list(json, "fields")) {
          Map<String, Object> field = object(item, "row field");
          LogicalType type = fromJson(field.get("field_type"));
          Object description = field.get("description");
          fields.add(
              description instanceof String
                  ? new RowType.RowField(string(field, "name"), type, (String) description)
                  : new RowType.RowField(string(field, "name"), type));
        }
        return new RowType(nullable, fields);
      default:
        throw new IllegalArgumentException("unknown data type " + root);
    }
  }

  @SuppressWarnings("unchecked")
  static Map<String, Object> object(Object value, String what) {
    if (!(value instanceof Map)) {
      throw new IllegalArgumentException("a JSON object is expected as " + what);
    }
    return (Map<String, Object>) value;
  }

  static String string(Map<String, Object> json, String name) {
    Object value = json.get(name);
    if (!(value instanceof String)) {
      throw new IllegalArgumentException("a text is expected as \"" + name + "\"");
    }
    return (String) value;
  }

  static int integer(Map<String, Object> json, String name) {
    Object value = json.get(name);
    if (!(value instanceof Long)) {
      throw new IllegalArgumentException("an integer is expected as \"" + name + "\"");
    }
    return Math.toIntExact((Long) value);
  }

  @SuppressWarnings("unchecked")
  static List<Object> list(Map<String, Object> json, String name) {
    Object value = json.get(name);
    if (!(value instanceof List)) {
      throw new IllegalArgumentException("a list is expected as \"" + name + "\"");
    }
    return (List<Object>) value;
  }
}
