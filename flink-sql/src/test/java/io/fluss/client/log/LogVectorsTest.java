package io.fluss.client.log;

import static io.fluss.client.Vectors.hex;
import static io.fluss.client.Vectors.list;
import static io.fluss.client.Vectors.objects;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fluss.client.FlussException;
import io.fluss.client.Vectors;
import io.fluss.client.arrow.Compression;
import io.fluss.client.arrow.Decompressor;
import io.fluss.client.row.RowDecoder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.flink.table.data.GenericArrayData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.ArrayType;
import org.apache.flink.table.types.logical.BinaryType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;
import org.junit.jupiter.api.Test;

/** Log batches of all formats against the log_*.json vectors, and round trips of our writer. */
class LogVectorsTest {
  private static LogBatch read(LogBatchHeader header, String format, RowType type) {
    return format.equals("ARROW")
        ? LogBatch.readArrow(header, type.getChildren(), null, new Decompressor())
        : LogBatch.readRows(
            header, new RowDecoder(LogFormat.of(format).rowFormat(), type.getChildren()));
  }

  @Test
  void official091() {
    assertTrue(checkFile("log_arrow_0_9_1.json") > 140);
    checkFile("log_rows_0_9_1.json");
  }

  @Test
  void official100() {
    checkFile("log_arrow_1_0_0.json");
  }

  private static int checkFile(String file) {
    int checked = 0;
    for (Map<String, Object> vector : objects(Vectors.load(file).get("cases"))) {
      String name = (String) vector.get("name");
      if (file.contains("0_9_1") && !vector.get("magic").equals(0L)) {
        continue; // Magic 1 of 0.9.1 is another layout that nobody writes.
      }
      RowType type = Vectors.rowType(vector.get("schema"));
      byte[] bytes = hex(vector.get("bytes"));
      LogBatchHeader header = LogBatchHeader.parse(bytes, 0, bytes.length);
      assertNotNull(header, name);
      assertTrue(header.crcMatches(), name);
      assertEquals(vector.get("base_offset"), header.baseOffset(), name);
      assertEquals(vector.get("next_offset"), header.nextOffset(), name);
      assertEquals(vector.get("commit_timestamp"), header.commitTimestamp(), name);
      assertEquals(vector.get("schema_id"), (long) header.schemaId(), name);
      assertEquals(vector.get("writer_id"), header.writerId(), name);
      assertEquals(vector.get("batch_sequence"), (long) header.batchSequence(), name);
      assertEquals(vector.get("append_only"), header.appendOnly(), name);
      LogBatch batch = read(header, (String) vector.get("log_format"), type);
      assertEquals(vector.get("record_count"), (long) batch.size(), name);
      List<?> rows = list(vector.get("rows"));
      for (int i = 0; i < batch.size(); i++) {
        if (vector.get("change_types") != null) {
          Object expected = list(vector.get("change_types")).get(i);
          assertEquals(String.valueOf(expected), batch.changeType(i).shortName(), name);
        }
        if (!name.contains("truncated")) {
          RowData expected = Vectors.row(type, list(rows.get(i)));
          assertEquals(
              Vectors.values(type, expected), Vectors.values(type, batch.row(i)), name + " " + i);
        }
      }
      checked++;
    }
    return checked;
  }

  @Test
  void projectedByTheServer() {
    for (Map<String, Object> vector :
        objects(Vectors.load("log_projection_0_9_1.json").get("cases"))) {
      RowType type = Vectors.rowType(vector.get("schema"));
      List<LogicalType> types = new ArrayList<>();
      List<RowType.RowField> fields = new ArrayList<>();
      for (Object index : list(vector.get("projected_fields"))) {
        types.add(type.getTypeAt(((Long) index).intValue()));
        fields.add(type.getFields().get(((Long) index).intValue()));
      }
      RowType projected = new RowType(fields);
      byte[] bytes = hex(vector.get("output"));
      int position = 0;
      int batches = 0;
      while (position < bytes.length) {
        LogBatchHeader header = LogBatchHeader.parse(bytes, position, bytes.length);
        LogBatch batch = LogBatch.readArrow(header, types, null, new Decompressor());
        if (batches == 0) {
          List<?> rows = list(vector.get("rows_of_batch_0"));
          assertEquals(rows.size(), batch.size());
          for (int i = 0; i < batch.size(); i++) {
            List<Object> all = Vectors.values(type, Vectors.row(type, list(rows.get(i))));
            List<Object> expected = new ArrayList<>();
            for (Object index : list(vector.get("projected_fields"))) {
              expected.add(all.get(((Long) index).intValue()));
            }
            assertEquals(expected, Vectors.values(projected, batch.row(i)));
          }
        }
        batches++;
        position = header.endPosition();
      }
      assertEquals(3, batches, (String) vector.get("name"));
    }
  }

  @Test
  void writtenBatchesReadBack() {
    for (Compression compression : Compression.values()) {
      for (Map<String, Object> vector :
          objects(Vectors.load("log_arrow_0_9_1.json").get("cases"))) {
        String name = compression + " " + vector.get("name");
        if (name.contains("truncated")
            || !name.contains("v0/NONE")
            || list(vector.get("rows")).isEmpty()) {
          continue;
        }
        RowType type = Vectors.rowType(vector.get("schema"));
        ArrowLogBatchBuilder builder = new ArrowLogBatchBuilder(3, type, compression);
        List<RowData> rows = new ArrayList<>();
        list(vector.get("rows")).forEach(row -> rows.add(Vectors.row(type, list(row))));
        for (int round = 0; round < 2; round++) {
          rows.forEach(builder::append);
          byte[] bytes = builder.buildAndReset();
          LogBatchHeader.stamp(bytes, 7, round);
          LogBatchHeader header = LogBatchHeader.parse(bytes, 0, bytes.length);
          assertTrue(header.crcMatches(), name);
          assertEquals(3, header.schemaId());
          assertEquals(7, header.writerId());
          assertEquals(round, header.batchSequence());
          assertEquals(rows.size() - 1, header.lastOffsetDelta());
          LogBatch batch = LogBatch.readArrow(header, type.getChildren(), null, new Decompressor());
          assertEquals(rows.size(), batch.size(), name);
          for (int i = 0; i < rows.size(); i++) {
            assertEquals(
                Vectors.values(type, rows.get(i)), Vectors.values(type, batch.row(i)), name);
          }
        }
      }
    }
  }

  @Test
  void largeBuffersOfEveryCompression() {
    RowType type =
        RowType.of(
            new org.apache.flink.table.types.logical.VarBinaryType(
                org.apache.flink.table.types.logical.VarBinaryType.MAX_LENGTH));
    Random random = new Random(1);
    byte[] noise = new byte[200_000];
    random.nextBytes(noise);
    byte[] text = new byte[300_000];
    for (int i = 0; i < text.length; i++) {
      text[i] = (byte) ('a' + (i / 7 + random.nextInt(2)) % 20);
    }
    for (Compression compression : Compression.values()) {
      ArrowLogBatchBuilder builder = new ArrowLogBatchBuilder(1, type, compression);
      builder.append(GenericRowData.of((Object) noise));
      builder.append(GenericRowData.of((Object) null));
      builder.append(GenericRowData.of((Object) text));
      byte[] bytes = builder.buildAndReset();
      LogBatch batch =
          LogBatch.readArrow(
              LogBatchHeader.parse(bytes, 0, bytes.length),
              type.getChildren(),
              null,
              new Decompressor());
      assertTrue(Arrays.equals(noise, batch.row(0).getBinary(0)));
      assertTrue(batch.row(1).isNullAt(0));
      assertTrue(Arrays.equals(text, batch.row(2).getBinary(0)));
    }
  }

  @Test
  void aRowThatFailsLeavesTheBatchAsItWas() {
    Map<String, Object> vector =
        objects(Vectors.load("log_arrow_0_9_1.json").get("cases")).stream()
            .filter(item -> ((String) item.get("name")).contains("NONE/mixed/append-only"))
            .findFirst()
            .get();
    RowType nullable = Vectors.rowType(vector.get("schema"));
    List<RowType.RowField> fields = new ArrayList<>(nullable.getFields());
    fields.add(
        new RowType.RowField("last", new org.apache.flink.table.types.logical.IntType(false)));
    RowType type = new RowType(fields);
    List<GenericRowData> good = new ArrayList<>();
    List<GenericRowData> bad = new ArrayList<>();
    for (Object item : list(vector.get("rows"))) {
      List<Object> values = new ArrayList<>(list(item));
      values.add(1L);
      good.add(Vectors.row(type, values));
      values.set(values.size() - 1, null);
      bad.add(Vectors.row(type, values));
    }
    ArrowLogBatchBuilder plain = new ArrowLogBatchBuilder(1, type, Compression.NONE);
    ArrowLogBatchBuilder disturbed = new ArrowLogBatchBuilder(1, type, Compression.NONE);
    for (int i = 0; i < good.size(); i++) {
      plain.append(good.get(i));
      GenericRowData failing = bad.get(bad.size() - 1 - i);
      assertThrows(IllegalArgumentException.class, () -> disturbed.append(failing));
      disturbed.append(good.get(i));
    }
    byte[] expected = plain.buildAndReset();
    byte[] actual = disturbed.buildAndReset();
    assertEquals(-1, Arrays.mismatch(expected, actual));
  }

  @Test
  void aRowThatFailsInsideANestedValueLeavesTheBatchAsItWas() {
    RowType type =
        RowType.of(
            new ArrayType(new RowType(List.of(new RowType.RowField("a", new BinaryType(2))))),
            new BinaryType(2));
    ArrowLogBatchBuilder plain = new ArrowLogBatchBuilder(1, type, Compression.NONE);
    ArrowLogBatchBuilder disturbed = new ArrowLogBatchBuilder(1, type, Compression.NONE);
    byte[] good = {1, 2};
    byte[] bad = {1};
    for (int i = 0; i < 20; i++) {
      GenericRowData row =
          i % 3 == 0
              ? new GenericRowData(2)
              : GenericRowData.of(
                  new GenericArrayData(new Object[] {GenericRowData.of((Object) good), null}),
                  good);
      GenericRowData failing =
          GenericRowData.of(
              new GenericArrayData(
                  new Object[] {
                    null, GenericRowData.of((Object) good), GenericRowData.of((Object) bad)
                  }),
              good);
      GenericRowData failingLater =
          GenericRowData.of(new GenericArrayData(new Object[] {null, null}), bad);
      plain.append(row);
      assertThrows(IllegalArgumentException.class, () -> disturbed.append(failing));
      assertThrows(IllegalArgumentException.class, () -> disturbed.append(failingLater));
      disturbed.append(row);
    }
    assertEquals(-1, Arrays.mismatch(plain.buildAndReset(), disturbed.buildAndReset()));
  }

  @Test
  void damageIsFoundNotFollowed() {
    Random random = new Random(42);
    for (Map<String, Object> vector : objects(Vectors.load("log_arrow_0_9_1.json").get("cases"))) {
      String name = (String) vector.get("name");
      if (!name.contains("mixed") || !vector.get("magic").equals(0L)) {
        continue;
      }
      RowType type = Vectors.rowType(vector.get("schema"));
      byte[] good = hex(vector.get("bytes"));
      for (int round = 0; round < 300; round++) {
        byte[] bytes = good.clone();
        bytes[random.nextInt(bytes.length)] ^= (byte) (1 << random.nextInt(8));
        try {
          LogBatchHeader header = LogBatchHeader.parse(bytes, 0, bytes.length);
          if (header != null) {
            LogBatch batch =
                LogBatch.readArrow(header, type.getChildren(), null, new Decompressor());
            assertTrue(batch.size() >= 0);
          }
        } catch (FlussException expected) {
          assertEquals("CORRUPT_RECORD_EXCEPTION", expected.code().name());
        }
      }
    }
  }
}
