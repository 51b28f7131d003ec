package io.fluss.client.row;

import static io.fluss.client.Vectors.hex;
import static io.fluss.client.Vectors.list;
import static io.fluss.client.Vectors.objects;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.fluss.client.FlussException;
import io.fluss.client.Vectors;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.types.RowKind;
import org.junit.jupiter.api.Test;

/** KV batches and stored values against kv_batches.json and kv_values.json. */
class KvVectorsTest {
  @Test
  void batches() {
    for (Map<String, Object> vector : objects(Vectors.load("kv_batches.json").get("cases"))) {
      RowType type = Vectors.rowType(vector.get("schema"));
      RowEncoder encoder = RowEncoder.of(RowFormat.of((String) vector.get("kv_format")), type);
      KvBatchBuilder builder = new KvBatchBuilder(((Long) vector.get("schema_id")).intValue(), 64);
      boolean[] columns = null;
      if (vector.get("put_kv_target_columns") != null) {
        columns = new boolean[type.getFieldCount()];
        for (Object index : list(vector.get("put_kv_target_columns"))) {
          columns[((Long) index).intValue()] = true;
        }
      }
      for (Map<String, Object> record : objects(vector.get("records"))) {
        byte[] key = hex(record.get("key"));
        if (record.get("row") == null) {
          builder.delete(key, key.length);
        } else {
          builder.put(
              key, key.length, encoder, Vectors.row(type, list(record.get("row"))), columns);
        }
      }
      byte[] batch = builder.buildAndReset();
      KvBatchBuilder.stamp(
          batch, (Long) vector.get("writer_id"), ((Long) vector.get("batch_sequence")).intValue());
      assertEquals(vector.get("bytes"), hex(batch), (String) vector.get("name"));
    }
  }

  @Test
  void aRowThatFailsLeavesTheBatchAsItWas() {
    RowType type = RowType.of(new org.apache.flink.table.types.logical.IntType(false));
    RowEncoder encoder = RowEncoder.of(RowFormat.COMPACTED, type);
    KvBatchBuilder plain = new KvBatchBuilder(1, 64);
    KvBatchBuilder disturbed = new KvBatchBuilder(1, 64);
    for (KvBatchBuilder builder : List.of(plain, disturbed)) {
      builder.put(new byte[] {1}, 1, encoder, Vectors.row(type, List.of(1L)), null);
    }
    assertThrows(
        IllegalArgumentException.class,
        () ->
            disturbed.put(
                new byte[] {2},
                1,
                encoder,
                new org.apache.flink.table.data.GenericRowData(1),
                null));
    assertEquals(hex(plain.buildAndReset()), hex(disturbed.buildAndReset()));
  }

  @Test
  void valueBatches() {
    for (Map<String, Object> vector :
        objects(Vectors.load("kv_values.json").get("value_record_batches"))) {
      RowType type = Vectors.rowType(vector.get("schema"));
      RowDecoder decoder =
          new RowDecoder(RowFormat.of((String) vector.get("kv_format")), type.getChildren());
      byte[] batch = hex(vector.get("bytes"));
      List<Object> expected = new ArrayList<>();
      List<Object> read = new ArrayList<>();
      for (Map<String, Object> record : objects(vector.get("records"))) {
        expected.add(record.get("schema_id"));
        expected.add(Vectors.values(type, Vectors.row(type, list(record.get("row")))));
      }
      ValueBatch.read(
          batch,
          0,
          batch.length,
          (schemaId, data, offset, length) -> {
            read.add((long) schemaId);
            read.add(Vectors.values(type, decoder.decode(data, offset, length, RowKind.INSERT)));
          });
      assertEquals(expected, read);
      if (!expected.isEmpty()) {
        assertThrows(
            FlussException.class,
            () -> ValueBatch.read(batch, 0, batch.length - 1, (s, d, o, l) -> {}));
      }
    }
  }
}
