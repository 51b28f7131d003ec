package io.fluss.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.types.logical.IntType;
import org.apache.flink.table.types.logical.RowType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Upserts, lookups, scans and changelogs of primary-key tables. */
@EnabledIfSystemProperty(named = "fluss.bootstrap", matches = ".+")
@Timeout(60)
class PrimaryKeyTableEndToEndTest extends EndToEnd {
  @ParameterizedTest
  @ValueSource(strings = {"COMPACTED", "INDEXED"})
  void upsertLookupDelete(String format) throws Exception {
    RowType type = EveryType.TYPE;
    TableInfo table =
        createIfSupported(
            "kv_" + format,
            TableDescriptor.builder()
                .rowType(type)
                .primaryKey(List.of("id"))
                .bucketCount(3)
                .property("table.kv.format", format)
                .build());
    assertArrayEquals(new int[] {0}, table.primaryKeyIndexes());
    int count = 2000;
    try (UpsertWriter writer = client.newUpsertWriter(table, null);
        Lookuper lookuper = client.newLookuper(table)) {
      for (long id = 0; id < count; id++) {
        writer.upsert(EveryType.row(id));
      }
      writer.flush();
      List<CompletableFuture<RowData>> lookups = new ArrayList<>();
      for (long id = 0; id < count + 5; id++) {
        lookups.add(lookuper.lookup(GenericRowData.of(id)));
      }
      for (int id = 0; id < count; id++) {
        RowData row = lookups.get(id).get(10, TimeUnit.SECONDS);
        assertEquals(Vectors.values(type, EveryType.row(id)), Vectors.values(type, row));
      }
      assertNull(lookups.get(count + 1).get(10, TimeUnit.SECONDS));

      writer.upsert(EveryType.nulls(7));
      writer.delete(GenericRowData.of(8L));
      writer.flush();
      assertTrue(lookuper.lookup(GenericRowData.of(7L)).get(10, TimeUnit.SECONDS).isNullAt(8));
      assertNull(lookuper.lookup(GenericRowData.of(8L)).get(10, TimeUnit.SECONDS));
      assertEquals(count - 1, client.rowCount(table));
    }
    Map<String, Integer> changes = new HashMap<>();
    for (LogRecord record : scan(table, new int[] {0, 8}, count + 3)) {
      changes.merge(record.changeType().shortName(), 1, Integer::sum);
    }
    assertEquals(Map.of("+I", count, "-U", 1, "+U", 1, "-D", 1), changes);
    assertEquals(10, client.limitScan(table, 0, 10).size());
    if (client.supports(ApiKey.SCAN_KV)) {
      KeyEncoder encoder = KeyEncoder.primaryKey(table);
      Map<Integer, Long> latest = client.listOffsets(table, List.of(0, 1, 2), OffsetSpec.latest());
      int rows = 0;
      for (int bucket = 0; bucket < 3; bucket++) {
        try (KvScanner scanner = client.newKvScanner(table, bucket)) {
          assertEquals(latest.get(bucket), scanner.logOffset());
          List<RowData> out = new ArrayList<>();
          while (scanner.next(out)) {
            assertFalse(out.isEmpty());
          }
          for (int i = 1; i < out.size(); i++) {
            assertTrue(
                Arrays.compareUnsigned(encoder.encode(out.get(i - 1)), encoder.encode(out.get(i)))
                    < 0);
          }
          rows += out.size();
        }
      }
      assertEquals(count - 1, rows);
    }
  }

  @Test
  void kvScanInSmallPieces() throws Exception {
    TableInfo table =
        create(
            "pieces",
            TableDescriptor.builder()
                .rowType(row("id", new IntType(false), "v", STRING))
                .primaryKey(List.of("id"))
                .build());
    try (UpsertWriter writer = client.newUpsertWriter(table, null)) {
      for (int i = 0; i < 3000; i++) {
        writer.upsert(GenericRowData.of(i, StringData.fromString("value " + i)));
      }
      writer.flush();
    }
    if (!client.supports(ApiKey.SCAN_KV)) {
      return;
    }
    try (FlussClient small = connect(Map.of("client.scanner.kv.fetch.max-bytes", "1kb"))) {
      Set<Integer> ids = new HashSet<>();
      int pieces = 0;
      try (KvScanner scanner = small.newKvScanner(table, 0)) {
        List<RowData> out = new ArrayList<>();
        while (scanner.next(out)) {
          out.forEach(row -> assertTrue(ids.add(row.getInt(0))));
          out.clear();
          pieces++;
        }
      }
      assertEquals(3000, ids.size());
      assertTrue(pieces > 10, pieces + " pieces");
      KvScanner abandoned = small.newKvScanner(table, 0);
      abandoned.next(new ArrayList<>());
      abandoned.close();
    }
    TableInfo empty =
        create(
            "empty",
            TableDescriptor.builder()
                .rowType(row("id", new IntType(false)))
                .primaryKey(List.of("id"))
                .build());
    try (KvScanner scanner = client.newKvScanner(empty, 0)) {
      assertEquals(0, scanner.logOffset());
      assertFalse(scanner.next(new ArrayList<>()));
    }
  }

  @Test
  void prefixLookup() throws Exception {
    TableInfo table =
        create(
            "prefix",
            TableDescriptor.builder()
                .rowType(row("v", STRING, "a", new IntType(false), "b", STRING.copy(false)))
                .primaryKey(List.of("a", "b"))
                .bucketKey(List.of("a"))
                .bucketCount(4)
                .build());
    try (UpsertWriter writer = client.newUpsertWriter(table, null);
        PrefixLookuper prefix = client.newPrefixLookuper(table);
        Lookuper lookuper = client.newLookuper(table)) {
      for (int a = 0; a < 50; a++) {
        for (int b = 0; b < 3; b++) {
          writer.upsert(
              GenericRowData.of(StringData.fromString("v" + b), a, StringData.fromString("b" + b)));
        }
      }
      writer.flush();
      List<CompletableFuture<List<RowData>>> lookups = new ArrayList<>();
      for (int a = 0; a < 51; a++) {
        lookups.add(prefix.lookup(GenericRowData.of(a)));
      }
      for (int a = 0; a < 50; a++) {
        List<RowData> rows = lookups.get(a).get(10, TimeUnit.SECONDS);
        assertEquals(3, rows.size());
        assertEquals(a, rows.get(2).getInt(1));
        assertEquals("b2", rows.get(2).getString(2).toString());
      }
      assertEquals(Collections.emptyList(), lookups.get(50).get(10, TimeUnit.SECONDS));
      RowData one =
          lookuper
              .lookup(GenericRowData.of(3, StringData.fromString("b1")))
              .get(10, TimeUnit.SECONDS);
      assertEquals("v1", one.getString(0).toString());
    }
  }

  @Test
  void partialUpdate() throws Exception {
    TableInfo table =
        create(
            "partial",
            TableDescriptor.builder()
                .rowType(row("id", new IntType(false), "a", STRING, "b", STRING))
                .primaryKey(List.of("id"))
                .build());
    assertThrows(
        IllegalArgumentException.class, () -> client.newUpsertWriter(table, new int[] {1}));
    try (UpsertWriter left = client.newUpsertWriter(table, new int[] {0, 1});
        UpsertWriter right = client.newUpsertWriter(table, new int[] {0, 2});
        Lookuper lookuper = client.newLookuper(table)) {
      left.upsert(GenericRowData.of(1, StringData.fromString("x"), StringData.fromString("no")));
      left.flush();
      right.upsert(GenericRowData.of(1, StringData.fromString("no"), StringData.fromString("y")));
      right.flush();
      RowData row = lookuper.lookup(GenericRowData.of(1)).get(10, TimeUnit.SECONDS);
      assertEquals("x", row.getString(1).toString());
      assertEquals("y", row.getString(2).toString());
      left.delete(GenericRowData.of(1, null, null));
      left.flush();
      row = lookuper.lookup(GenericRowData.of(1)).get(10, TimeUnit.SECONDS);
      assertTrue(row.isNullAt(1));
      assertEquals("y", row.getString(2).toString());
    }
  }

  @Test
  void emptyChangelogBatchesAdvanceTheOffset() throws Exception {
    TableInfo table =
        create(
            "empties",
            TableDescriptor.builder()
                .rowType(row("id", new IntType(false)))
                .primaryKey(List.of("id"))
                .build());
    try (UpsertWriter writer = client.newUpsertWriter(table, null);
        LogScanner scanner = client.newLogScanner(table, null)) {
      writer.delete(GenericRowData.of(1));
      writer.flush();
      long end = client.listOffsets(table, List.of(0), OffsetSpec.latest()).get(0);
      assertEquals(1, end);
      scanner.subscribe(0, 0);
      ScanBatch batch = scanner.poll(Duration.ofSeconds(10));
      assertEquals(1, batch.buckets().size());
      assertEquals(0, batch.count());
      assertEquals(end, batch.buckets().get(0).nextOffset());
    }
  }
}
