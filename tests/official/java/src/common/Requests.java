import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.fluss.metadata.AggFunction;
import org.apache.fluss.metadata.AggFunctionType;
import org.apache.fluss.metadata.AggFunctions;
import org.apache.fluss.metadata.PartitionSpec;
import org.apache.fluss.metadata.Schema;
import org.apache.fluss.metadata.TableBucket;
import org.apache.fluss.metadata.TableDescriptor;
import org.apache.fluss.metadata.TablePath;
import org.apache.fluss.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.fluss.types.DataTypeParser;

/** What the JSON of a request stands for. */
final class Requests {
  private Requests() {}

  static TablePath path(JsonNode request) {
    return TablePath.of(request.get("database").asText(), request.get("table").asText());
  }

  static boolean flag(JsonNode request, String name) {
    return request.hasNonNull(name) && request.get(name).asBoolean();
  }

  static String text(JsonNode request, String name) {
    return request.hasNonNull(name) ? request.get(name).asText() : null;
  }

  static List<String> list(JsonNode request, String name) {
    List<String> found = new ArrayList<>();
    if (request.hasNonNull(name)) {
      request.get(name).forEach(entry -> found.add(entry.asText()));
    }
    return found;
  }

  static List<Integer> numbers(JsonNode request, String name) {
    List<Integer> found = new ArrayList<>();
    request.get(name).forEach(entry -> found.add(entry.asInt()));
    return found;
  }

  static Map<String, String> strings(JsonNode request, String name) {
    Map<String, String> found = new LinkedHashMap<>();
    if (request.hasNonNull(name)) {
      request.get(name).fields().forEachRemaining(entry -> found.put(entry.getKey(), entry.getValue().asText()));
    }
    return found;
  }

  static PartitionSpec partitionSpec(JsonNode request) {
    return new PartitionSpec(strings(request, "spec"));
  }

  static TableBucket bucket(JsonNode request, long tableId) {
    Long partition = request.hasNonNull("partition_id") ? request.get("partition_id").asLong() : null;
    return new TableBucket(tableId, partition, request.get("bucket").asInt());
  }

  static AggFunction aggregation(JsonNode column) {
    if (!column.hasNonNull("aggregation")) {
      return null;
    }
    AggFunctionType type = AggFunctionType.fromString(column.get("aggregation").asText());
    return AggFunctions.of(type, strings(column, "parameters"));
  }

  static TableDescriptor descriptor(JsonNode request) {
    Schema.Builder schema = Schema.newBuilder();
    for (JsonNode column : request.get("columns")) {
      String name = column.get("name").asText();
      AggFunction aggregation = aggregation(column);
      if (aggregation == null) {
        schema.column(name, DataTypeParser.parse(column.get("type").asText()));
      } else {
        schema.column(name, DataTypeParser.parse(column.get("type").asText()), aggregation);
      }
      if (column.hasNonNull("comment")) {
        schema.withComment(column.get("comment").asText());
      }
    }
    List<String> primaryKey = list(request, "primary_key");
    if (!primaryKey.isEmpty()) {
      schema.primaryKey(primaryKey);
    }
    if (request.hasNonNull("auto_increment")) {
      schema.enableAutoIncrement(request.get("auto_increment").asText());
    }
    TableDescriptor.Builder table =
        TableDescriptor.builder()
            .schema(schema.build())
            .comment(text(request, "comment"))
            .partitionedBy(list(request, "partitioned_by"))
            .properties(strings(request, "properties"))
            .customProperties(strings(request, "custom_properties"));
    Integer buckets = request.hasNonNull("buckets") ? request.get("buckets").asInt() : null;
    return table.distributedBy(buckets, list(request, "bucket_key")).build();
  }
}
