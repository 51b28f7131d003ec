package io.fluss.client.json;

import static io.fluss.client.Vectors.objects;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fluss.client.DatabaseDescriptor;
import io.fluss.client.FlussException;
import io.fluss.client.TableDescriptor;
import io.fluss.client.Vectors;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.VarCharType;
import org.junit.jupiter.api.Test;

/** Documents against metadata_json.json, and the limits of the JSON reader. */
class MetadataJsonTest {
  private final Map<String, Object> vectors = Vectors.load("metadata_json.json");

  @Test
  void tables() {
    for (Map<String, Object> vector : objects(vectors.get("table_descriptors"))) {
      String text = (String) vector.get("json_text");
      TableDescriptor table = TableDescriptor.fromJson(text.getBytes(StandardCharsets.UTF_8));
      assertEquals(Json.parse(text), Json.parse(table.toJson()), (String) vector.get("name"));
    }
  }

  @Test
  void schemas() {
    for (Map<String, Object> vector : objects(vectors.get("schemas"))) {
      String text = (String) vector.get("json_text");
      MetadataJson.Schema schema =
          MetadataJson.schemaFromJson(text.getBytes(StandardCharsets.UTF_8));
      if (vector.get("column_ids") != null) {
        assertEquals(
            vector.get("column_ids").toString(),
            schema.columnIds().toString(),
            (String) vector.get("name"));
      }
    }
  }

  @Test
  void schemasOfTablesRoundTrip() {
    int roundTrips = 0;
    for (Map<String, Object> vector : objects(vectors.get("schemas"))) {
      if (Boolean.TRUE.equals(vector.get("round_trip_equal"))) {
        String text =
            "{\"version\":1,\"schema\":"
                + vector.get("json_text")
                + ",\"partition_key\":[],\"properties\":{},\"custom_properties\":{}}";
        TableDescriptor table = TableDescriptor.fromJson(text.getBytes(StandardCharsets.UTF_8));
        assertEquals(
            Json.parse((String) vector.get("json_text")),
            TypeJson.object(Json.parse(table.toJson()), "table").get("schema"),
            (String) vector.get("name"));
        roundTrips++;
      }
    }
    assertTrue(roundTrips > 1, "vectors of schemas");
  }

  @Test
  void types() {
    for (Map<String, Object> vector : objects(vectors.get("data_types"))) {
      String text = (String) vector.get("json_text");
      LogicalType type = TypeJson.fromJson(Json.parse(text));
      String ours = Json.write(TypeJson.toJson(type));
      assertEquals(
          text.replaceAll("\"field_id\":-?\\d+", "id"), ours.replaceAll("\"field_id\":\\d+", "id"));
    }
    FlussException error =
        assertThrows(FlussException.class, () -> TypeJson.toJson(new VarCharType(10)));
    assertTrue(error.getMessage().contains("VARCHAR(10)"), error.getMessage());
  }

  @Test
  void databases() {
    for (Map<String, Object> vector : objects(vectors.get("database_descriptors"))) {
      String text = (String) vector.get("json_text");
      DatabaseDescriptor database =
          MetadataJson.databaseFromJson(text.getBytes(StandardCharsets.UTF_8));
      assertEquals(text, MetadataJson.databaseToJson(database));
    }
  }

  @Test
  void malformedTextIsRefused() {
    for (String text :
        new String[] {
          "",
          "{",
          "[1,",
          "{\"a\"}",
          "{\"a\":1,}",
          "tru",
          "\"abc",
          "1 2",
          "-",
          "\"\\x\"",
          "{1:2}",
          "[".repeat(10_000)
        }) {
      assertThrows(IllegalArgumentException.class, () -> Json.parse(text), text);
    }
    assertEquals(Long.MIN_VALUE, Json.parse(String.valueOf(Long.MIN_VALUE)));
    assertEquals("a\"\\\n\u4f60/", Json.parse("\"a\\\"\\\\\\n\\u4f60\\/\""));
    assertEquals(1.5, Json.parse(" 1.5 "));
  }
}
