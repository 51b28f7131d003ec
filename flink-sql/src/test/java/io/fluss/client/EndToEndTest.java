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
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.GenericArrayData;
import org.apache.flink.table.data.GenericMapData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
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
import org.apache.flink.types.RowKind;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Everything against a running server, ours or an official one: -Dfluss.bootstrap=host:port. */
@EnabledIfSystemProperty(named = "fluss.bootstrap", matches = ".+")
@Timeout(60)
class EndToEndTest {
  private static final LogicalType STRING = new VarCharType(VarCharType.MAX_LENGTH);
  private static final String DATABASE = "e2e_" + Long.toHexString(System.nanoTime());

  private FlussClient client;

  @BeforeEach
  void connect() {
    client =
        FlussClient.connect(
            ClientOptions.fromMap(
                Map.of("bootstrap.servers", System.getProperty("fluss.bootstrap"))));
    client.createDatabase(DATABASE, DatabaseDescriptor.EMPTY, true);
  }

  @AfterEach
  void close() {
    if (client != null) {
      client.dropDatabase(DATABASE, true, true);
      client.close();
    }
  }

  private TableInfo create(String name, TableDescriptor descriptor) {
    TablePath path = TablePath.of(DATABASE, name);
    client.createTable(path, descriptor, false);
    return client.getTable(path);
  }

  /** Skips the test when the server does not have an option of the table. */
  private TableInfo createIfSupported(String name, TableDescriptor descriptor) {
    try {
      return create(name, descriptor);
    } catch (FlussException e) {
      Assumptions.assumeFalse(e.code() == ErrorCode.INVALID_CONFIG_EXCEPTION, e.getMessage());
      throw e;
    }
  }

  private static RowType row(Object... namesAndTypes) {
    List<RowType.RowField> fields = new ArrayList<>();
    for (int i = 0; i < namesAndTypes.length; i += 2) {
      fields.add(
          new RowType.RowField((String) namesAndTypes[i], (LogicalType) namesAndTypes[i + 1]));
    }
    return new RowType(false, fields);
  }

  private static RowType everyType() {
    return row(
        "id", new BigIntType(false),
        "bool", new BooleanType(),
        "tiny", new TinyIntType(),
        "small", new SmallIntType(),
        "int", new IntType(),
        "float", new FloatType(),
        "double", new DoubleType(),
        "char", new CharType(5),
        "string", STRING,
        "binary", new BinaryType(3),
        "bytes", new VarBinaryType(VarBinaryType.MAX_LENGTH),
        "dec", new DecimalType(10, 2),
        "wide", new DecimalType(38, 10),
        "date", new DateType(),
        "time", new TimeType(3),
        "ts", new TimestampType(3),
        "ts9", new TimestampType(9),
        "ltz", new LocalZonedTimestampType(6),
        "array", new ArrayType(new IntType()),
        "map", new MapType(STRING.copy(false), new BigIntType()),
        "row",
            new RowType(
                List.of(
                    new RowType.RowField("a", new IntType()), new RowType.RowField("b", STRING))));
  }

  private static GenericRowData everyTypeRow(long id) {
    Map<Object, Object> map = new HashMap<>();
    map.put(StringData.fromString("k" + id), id);
    return GenericRowData.of(
        id,
        id % 2 == 0,
        (byte) id,
        (short) -id,
        (int) id,
        (float) id / 3,
        -(double) id / 7,
        StringData.fromString("c" + id % 10),
        StringData.fromString("text \u4f60 " + id),
        new byte[] {1, 2, (byte) (1 + id % 100)},
        new byte[] {(byte) id, 0},
        DecimalData.fromUnscaledLong(id, 10, 2),
        DecimalData.fromBigDecimal(new java.math.BigDecimal("12345678901234567890." + id), 38, 10),
        (int) id,
        (int) id,
        TimestampData.fromEpochMillis(1_700_000_000_000L + id),
        TimestampData.fromEpochMillis(1_700_000_000_000L + id, 123_456),
        TimestampData.fromEpochMillis(1_700_000_000_000L + id, 654_000),
        new GenericArrayData(new Object[] {(int) id, null}),
        new GenericMapData(map),
        GenericRowData.of((int) id, StringData.fromString("nested")));
  }

  private static GenericRowData nulls(long id, int arity) {
    GenericRowData row = new GenericRowData(arity);
    row.setField(0, id);
    return row;
  }

  /** Reads records of all buckets from the earliest offset until there are {@code count}. */
  private List<LogRecord> scan(TableInfo table, int[] projection, int count) {
    List<LogRecord> records = new ArrayList<>();
    try (LogScanner scanner = client.newLogScanner(table, projection)) {
      for (int bucket = 0; bucket < table.bucketCount(); bucket++) {
        scanner.subscribe(bucket, LogScanner.EARLIEST_OFFSET);
      }
      long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
      while (records.size() < count) {
        assertTrue(System.nanoTime() < deadline, "only " + records.size() + " of " + count);
        for (BucketRecords run : scanner.poll(Duration.ofSeconds(1)).buckets()) {
          records.addAll(run.records());
        }
      }
    }
    return records;
  }

  @Test
  void databasesAndTables() {
    String name = DATABASE + "_x";
    assertFalse(client.databaseExists(name));
    client.createDatabase(name, new DatabaseDescriptor("hello", Map.of("a", "b")), false);
    assertTrue(client.databaseExists(name));
    assertTrue(client.listDatabases().contains(name));
    DatabaseInfo info = client.getDatabase(name);
    assertEquals("hello", info.descriptor().comment().get());
    assertEquals(Map.of("a", "b"), info.descriptor().customProperties());
    assertTrue(info.createdTime() > 1_600_000_000_000L);
    assertEquals(
        ErrorCode.DATABASE_ALREADY_EXIST,
        assertThrows(
                FlussException.class,
                () -> client.createDatabase(name, DatabaseDescriptor.EMPTY, false))
            .code());

    TablePath path = TablePath.of(name, "t");
    RowType type = everyType();
    TableDescriptor descriptor =
        TableDescriptor.builder()
            .rowType(type)
            .columnComments(Map.of("id", "the id"))
            .bucketCount(3)
            .bucketKey(List.of("id"))
            .comment("all of them")
            .customProperty("my.option", "1")
            .build();
    assertEquals(
        ErrorCode.TABLE_NOT_EXIST,
        assertThrows(FlussException.class, () -> client.getTable(path)).code());
    client.createTable(path, descriptor, false);
    client.createTable(path, descriptor, true);
    assertTrue(client.tableExists(path));
    assertEquals(List.of("t"), client.listTables(name));
    TableInfo table = client.getTable(path);
    assertEquals(type, table.rowType());
    assertEquals(3, table.bucketCount());
    assertEquals(List.of("id"), table.bucketKey());
    assertEquals("all of them", table.comment().get());
    assertEquals(Map.of("id", "the id"), table.columnComments());
    assertEquals("1", table.customProperties().get("my.option"));
    assertFalse(table.hasPrimaryKey());
    assertEquals(
        ErrorCode.DATABASE_NOT_EMPTY,
        assertThrows(FlussException.class, () -> client.dropDatabase(name, false, false)).code());
    client.dropTable(path, false);
    assertFalse(client.tableExists(path));
    client.dropTable(path, true);
    client.dropDatabase(name, false, true);
    assertFalse(client.databaseExists(name));
  }

  @ParameterizedTest
  @CsvSource({"ARROW,NONE", "ARROW,ZSTD", "ARROW,LZ4_FRAME", "INDEXED,NONE", "COMPACTED,NONE"})
  void appendAndScan(String format, String compression) throws Exception {
    RowType type = everyType();
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
        GenericRowData row = id % 10 == 9 ? nulls(id, type.getFieldCount()) : everyTypeRow(id);
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

  @ParameterizedTest
  @ValueSource(strings = {"COMPACTED", "INDEXED"})
  void upsertLookupDelete(String format) throws Exception {
    RowType type = everyType();
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
        writer.upsert(everyTypeRow(id));
      }
      writer.flush();
      List<CompletableFuture<RowData>> lookups = new ArrayList<>();
      for (long id = 0; id < count + 5; id++) {
        lookups.add(lookuper.lookup(GenericRowData.of(id)));
      }
      for (int id = 0; id < count; id++) {
        RowData row = lookups.get(id).get(10, TimeUnit.SECONDS);
        assertEquals(Vectors.values(type, everyTypeRow(id)), Vectors.values(type, row));
      }
      assertNull(lookups.get(count + 1).get(10, TimeUnit.SECONDS));

      writer.upsert(nulls(7, type.getFieldCount()));
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
    try (FlussClient small =
        FlussClient.connect(
            ClientOptions.fromMap(
                Map.of(
                    "bootstrap.servers",
                    System.getProperty("fluss.bootstrap"),
                    "client.scanner.kv.fetch.max-bytes",
                    "1kb")))) {
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

  @Test
  void aDroppedTableIsReported() throws Exception {
    TableInfo table =
        create("gone", TableDescriptor.builder().rowType(row("id", new IntType())).build());
    try (AppendWriter writer = client.newAppendWriter(table);
        LogScanner scanner = client.newLogScanner(table, null)) {
      writer.append(GenericRowData.of(1));
      writer.flush();
      scanner.subscribe(0, 0);
      assertEquals(1, scanner.poll(Duration.ofSeconds(10)).count());
      client.dropTable(table.path(), false);
      java.io.IOException writeError =
          assertThrows(
              java.io.IOException.class,
              () -> {
                // Official servers drop in the background and take a few rows more.
                for (int i = 0; i < 1_000_000; i++) {
                  writer.append(GenericRowData.of(2));
                  writer.flush();
                }
              });
      assertEquals(ErrorCode.TABLE_NOT_EXIST, ((FlussException) writeError.getCause()).code());
      FlussException readError =
          assertThrows(
              FlussException.class,
              () -> {
                for (int i = 0; i < 30; i++) {
                  scanner.poll(Duration.ofSeconds(1));
                }
              });
      assertEquals(ErrorCode.TABLE_NOT_EXIST, readError.code());
    }
  }

  @Test
  void connectFailsSoonWithoutAServer() {
    long start = System.nanoTime();
    FlussException error =
        assertThrows(
            FlussException.class,
            () ->
                FlussClient.connect(
                    ClientOptions.fromMap(
                        Map.of(
                            "bootstrap.servers", "127.0.0.1:1", "client.connect-timeout", "1s"))));
    assertTrue(error.getMessage().contains("127.0.0.1:1"), error.getMessage());
    assertTrue(System.nanoTime() - start < 10_000_000_000L);
  }
}
