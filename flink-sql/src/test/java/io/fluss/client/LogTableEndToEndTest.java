package io.fluss.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.types.logical.BigIntType;
import org.apache.flink.table.types.logical.IntType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.types.RowKind;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Appends to log tables and scans of them. */
@EnabledIfSystemProperty(named = "fluss.bootstrap", matches = ".+")
@Timeout(60)
class LogTableEndToEndTest extends EndToEnd {
  @ParameterizedTest
  @CsvSource({"ARROW,NONE", "ARROW,ZSTD", "ARROW,LZ4_FRAME", "INDEXED,NONE", "COMPACTED,NONE"})
  void appendAndScan(String format, String compression) throws Exception {
    RowType type = EveryType.TYPE;
    TableInfo table =
        createIfSupported(
            "log_" + format + compression,
            TableDescriptor.builder()
                .rowType(type)
                .bucketCount(2)
                .property("table.log.format", format)
                .property("table.log.arrow.compression.type", compression)
                .build());
    int count = 2500;
    Map<Long, List<Object>> expected = new HashMap<>();
    try (AppendWriter writer = client.newAppendWriter(table)) {
      for (long id = 0; id < count; id++) {
        GenericRowData row = id % 10 == 9 ? EveryType.nulls(id) : EveryType.row(id);
        writer.append(row);
        expected.put(id, Vectors.values(type, row));
        if (id % 1000 == 0) {
          writer.flush();
        }
      }
      writer.flush();
      assertTrue(writer.bytesSent() > 1000);
    }
    List<LogRecord> records = scan(table, null, count);
    assertEquals(count, records.size());
    for (LogRecord record : records) {
      assertEquals(RowKind.INSERT, record.row().getRowKind());
      assertEquals(ChangeType.APPEND, record.changeType());
      assertTrue(record.timestamp() > 1_600_000_000_000L);
      assertEquals(expected.remove(record.row().getLong(0)), Vectors.values(type, record.row()));
    }
    assertTrue(expected.isEmpty());

    int[] projection = {8, 0, 19};
    RowType projected = row("string", STRING, "id", new BigIntType(), "map", type.getTypeAt(19));
    Set<Long> seen = new HashSet<>();
    for (LogRecord record : scan(table, projection, count)) {
      assertEquals(3, record.row().getArity());
      long id = record.row().getLong(1);
      seen.add(id);
      List<Object> values = Vectors.values(projected, record.row());
      assertEquals(id % 10 == 9 ? null : "text \u4f60 " + id, values.get(0));
    }
    assertEquals(count, seen.size());
    assertEquals(count, scan(table, new int[0], count).size());
    assertEquals(count, client.rowCount(table));
    Map<Integer, Long> latest = client.listOffsets(table, List.of(0, 1), OffsetSpec.latest());
    assertEquals(count, latest.get(0) + latest.get(1));
    assertEquals(
        Map.of(0, 0L, 1, 0L), client.listOffsets(table, List.of(0, 1), OffsetSpec.earliest()));
    Map<Integer, Long> byTime = client.listOffsets(table, List.of(0, 1), OffsetSpec.timestamp(1));
    assertEquals(Map.of(0, 0L, 1, 0L), byTime);
    List<RowData> last = client.limitScan(table, 0, 5);
    assertEquals(5, last.size());
  }

  @Test
  void scanFromAnOffsetAndUnsubscribe() throws Exception {
    TableInfo table =
        create("offsets", TableDescriptor.builder().rowType(row("id", new IntType())).build());
    try (AppendWriter writer = client.newAppendWriter(table);
        LogScanner scanner = client.newLogScanner(table, null)) {
      for (int i = 0; i < 1000; i++) {
        writer.append(GenericRowData.of(i));
      }
      writer.flush();
      scanner.subscribe(0, 990);
      List<Integer> read = new ArrayList<>();
      long next = 0;
      while (read.size() < 10) {
        for (BucketRecords run : scanner.poll(Duration.ofSeconds(1)).buckets()) {
          for (int i = 0; i < run.size(); i++) {
            assertEquals(run.offset(i), run.row(i).getInt(0));
            read.add(run.row(i).getInt(0));
          }
          next = run.nextOffset();
          assertEquals(1000, run.highWatermark());
        }
      }
      assertEquals(IntStream.range(990, 1000).boxed().collect(Collectors.toList()), read);
      assertEquals(1000, next);
      assertTrue(scanner.poll(Duration.ofMillis(20)).isEmpty());
      scanner.wakeup();
      long start = System.nanoTime();
      assertTrue(scanner.poll(Duration.ofSeconds(20)).isEmpty());
      assertTrue(System.nanoTime() - start < 10_000_000_000L);
      writer.append(GenericRowData.of(1000));
      writer.flush();
      assertEquals(1, scanner.poll(Duration.ofSeconds(5)).count());
      scanner.unsubscribe(0);
      writer.append(GenericRowData.of(1001));
      writer.flush();
      assertTrue(scanner.poll(Duration.ofMillis(50)).isEmpty());
      scanner.subscribe(0, 2000);
      assertEquals(
          ErrorCode.LOG_OFFSET_OUT_OF_RANGE_EXCEPTION,
          assertThrows(FlussException.class, () -> scanner.poll(Duration.ofSeconds(10))).code());
    }
  }

  @Test
  void badRowsAreRefusedAndTheRestIsWritten() throws Exception {
    TableInfo table =
        create(
            "bad",
            TableDescriptor.builder()
                .rowType(row("id", new IntType(false), "v", STRING))
                .property("table.log.arrow.compression.type", "NONE")
                .build());
    char[] large = new char[11 << 20];
    Arrays.fill(large, 'x');
    char[] medium = new char[6 << 20];
    Arrays.fill(medium, 'y');
    try (AppendWriter writer = client.newAppendWriter(table)) {
      writer.append(GenericRowData.of(1, StringData.fromString("a")));
      assertThrows(IllegalArgumentException.class, () -> writer.append(new GenericRowData(2)));
      FlussException error =
          assertThrows(
              FlussException.class,
              () -> writer.append(GenericRowData.of(2, StringData.fromString(new String(large)))));
      assertEquals(ErrorCode.RECORD_TOO_LARGE_EXCEPTION, error.code());
      for (int i = 3; i < 6; i++) {
        writer.append(GenericRowData.of(i, StringData.fromString(new String(medium))));
      }
      writer.flush();
    }
    List<Integer> ids =
        scan(table, null, 4).stream()
            .map(record -> record.row().getInt(0))
            .collect(Collectors.toList());
    assertEquals(List.of(1, 3, 4, 5), ids);
  }
}
