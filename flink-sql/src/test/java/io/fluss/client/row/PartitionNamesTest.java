package io.fluss.client.row;

import static io.fluss.client.Vectors.list;
import static io.fluss.client.Vectors.objects;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fluss.client.PartitionInfo;
import io.fluss.client.Vectors;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.types.logical.IntType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.VarCharType;
import org.apache.flink.table.types.logical.utils.LogicalTypeParser;
import org.junit.jupiter.api.Test;

/** Names of partitions against those of the official client. */
class PartitionNamesTest {
  private static final Map<String, Object> VECTORS = Vectors.load("partitions_and_names.json");

  @Test
  void valuesOfEveryType() {
    int checked = 0;
    for (Map<String, Object> vector : objects(VECTORS.get("typed_values"))) {
      String name = (String) vector.get("type");
      LogicalType type = LogicalTypeParser.parse(name, PartitionNamesTest.class.getClassLoader());
      Object value = Vectors.toFlink(type, vector.get("value"));
      assertEquals(vector.get("partition_value"), PartitionNames.text(value, type), name);
      checked++;
    }
    assertTrue(checked > 100, "only " + checked + " values");
  }

  @Test
  void severalColumnsInTheOrderOfThePartitionKey() {
    RowType type =
        RowType.of(new VarCharType(10), new IntType(), new VarCharType(VarCharType.MAX_LENGTH));
    PartitionNames names = new PartitionNames(type, new int[] {2, 1});

    GenericRowData row =
        GenericRowData.of(StringData.fromString("x"), 7, StringData.fromString("2024-01-01"));
    assertEquals("2024-01-01$7", names.of(row));
    row.setField(1, null);
    assertThrows(IllegalArgumentException.class, () -> names.of(row));
  }

  @Test
  void namesAndValues() {
    for (Map<String, Object> vector : objects(VECTORS.get("multi_key"))) {
      List<String> values = new ArrayList<>();
      list(vector.get("values")).forEach(value -> values.add((String) value));
      assertEquals(vector.get("partition_name"), PartitionInfo.nameOf(values));
      assertEquals(values, new PartitionInfo(0, PartitionInfo.nameOf(values)).values());
    }
  }
}
