package io.fluss.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fluss.client.arrow.Decompressor;
import io.fluss.client.log.LogBatch;
import io.fluss.client.log.LogBatchHeader;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.IntType;
import org.apache.flink.table.types.logical.RowType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The client against a server that fails, forgets, stays silent and hangs up. */
@Timeout(60)
class FaultsTest {
  private static final RowType TYPE =
      new RowType(
          false,
          List.of(
              new RowType.RowField("id", new IntType(false)),
              new RowType.RowField("v", new IntType())));

  private FakeServer server;
  private FlussClient client;

  private void start(int buckets, boolean primaryKey, String... options) throws IOException {
    TableDescriptor.Builder table =
        TableDescriptor.builder()
            .rowType(TYPE)
            .bucketCount(buckets)
            .bucketKey(List.of("id"))
            .property("table.log.arrow.compression.type", "NONE");
    if (primaryKey) {
      table.primaryKey(List.of("id"));
    }
    server = new FakeServer(table.build());
    Map<String, String> map = new HashMap<>();
    map.put("bootstrap.servers", server.address());
    map.put("client.request-timeout", "300ms");
    map.put("client.retry-timeout", "20s");
    // Small batches: about a dozen rows each.
    map.put("client.writer.batch-size", "200b");
    for (int i = 0; i < options.length; i += 2) {
      map.put(options[i], options[i + 1]);
    }
    client = FlussClient.connect(ClientOptions.fromMap(map));
  }

  @AfterEach
  void stop() throws IOException {
    if (client != null) {
      client.close();
    }
    if (server != null) {
      server.close();
    }
  }

  /** Ids in the stored log of a bucket. */
  private List<Integer> stored(int bucket) {
    List<Integer> ids = new ArrayList<>();
    for (byte[] bytes : server.batches(bucket)) {
      LogBatch batch =
          LogBatch.readArrow(
              LogBatchHeader.parse(bytes, 0, bytes.length),
              TYPE.getChildren(),
              null,
              new Decompressor());
      for (int i = 0; i < batch.size(); i++) {
        ids.add(batch.row(i).getInt(0));
      }
    }
    return ids;
  }

  private void append(int count) throws IOException {
    try (AppendWriter writer = client.newAppendWriter(server.table)) {
      for (int i = 0; i < count; i++) {
        writer.append(GenericRowData.of(i, i));
      }
      writer.flush();
    }
  }

  private static void await(CountDownLatch latch) {
    try {
      assertTrue(latch.await(10, TimeUnit.SECONDS));
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  private static List<Integer> range(int count) {
    return IntStream.range(0, count).boxed().collect(Collectors.toList());
  }

  @Test
  void aBatchWhoseResponseIsLostIsStoredOnce() throws Exception {
    start(1, false);
    server.faults =
        new FakeServer.Faults() {
          @Override
          public Integer before(ApiKey key, int request) {
            return null;
          }

          @Override
          public Integer after(ApiKey key, int request) {
            return key == ApiKey.PRODUCE_LOG && request == 2 ? FakeServer.NO_ANSWER : null;
          }
        };
    append(300);
    assertEquals(range(300), stored(0));
  }

  @Test
  void batchesBehindARefusedOneAreSentAgainInOrder() throws Exception {
    start(1, false);
    server.faults =
        (key, request) ->
            key == ApiKey.PRODUCE_LOG && (request == 1 || request == 9)
                ? FakeServer.error(ErrorCode.NOT_LEADER_OR_FOLLOWER)
                : null;
    append(400);
    assertEquals(range(400), stored(0));
    assertTrue(server.count(ApiKey.GET_METADATA) > 2);
  }

  @ParameterizedTest
  @ValueSource(longs = {1, 2, 3, 4, 5, 6})
  void everyRowIsStoredOnceAndInOrderWhateverHappens(long seed) throws Exception {
    start(3, false);
    Random random = new Random(seed);
    Integer[] retriable = {1, 3, 10, 12, 21, 25, 26, 28, 29, 44};
    server.faults =
        new FakeServer.Faults() {
          private synchronized Integer fault(ApiKey key) {
            if (key != ApiKey.PRODUCE_LOG && key != ApiKey.GET_METADATA
                || random.nextInt(100) >= 12) {
              return null;
            }
            int kind = random.nextInt(10);
            if (kind == 0) {
              return FakeServer.NO_ANSWER;
            }
            return kind < 3 ? FakeServer.BREAK : retriable[random.nextInt(retriable.length)];
          }

          @Override
          public Integer before(ApiKey key, int request) {
            return fault(key);
          }

          @Override
          public Integer after(ApiKey key, int request) {
            return fault(key);
          }
        };
    append(2000);
    List<Integer> all = new ArrayList<>();
    for (int bucket = 0; bucket < 3; bucket++) {
      List<Integer> ids = stored(bucket);
      assertEquals(ids.stream().sorted().collect(Collectors.toList()), ids, "order");
      all.addAll(ids);
    }
    assertEquals(range(2000), all.stream().sorted().collect(Collectors.toList()));
  }

  @Test
  void aForgottenWriterGoesOnWithANewId() throws Exception {
    start(1, false);
    try (AppendWriter writer = client.newAppendWriter(server.table)) {
      for (int i = 0; i < 300; i++) {
        writer.append(GenericRowData.of(i, i));
        if (i == 150) {
          writer.flush();
          server.forgetWriters();
        }
      }
      writer.flush();
    }
    assertEquals(range(300), stored(0));
    assertEquals(2, server.count(ApiKey.INIT_WRITER));
  }

  @Test
  void anErrorThatStaysEndsTheWriter() throws Exception {
    start(1, false);
    server.faults =
        (key, request) ->
            key == ApiKey.PRODUCE_LOG ? FakeServer.error(ErrorCode.AUTHORIZATION_EXCEPTION) : null;
    try (AppendWriter writer = client.newAppendWriter(server.table)) {
      writer.append(GenericRowData.of(1, 1));
      IOException error = assertThrows(IOException.class, writer::flush);
      assertEquals(ErrorCode.AUTHORIZATION_EXCEPTION, ((FlussException) error.getCause()).code());
      assertThrows(IOException.class, () -> writer.append(GenericRowData.of(2, 2)));
      assertThrows(IOException.class, writer::flush);
    }
  }

  @Test
  void retriesEnd() throws Exception {
    start(1, false, "client.retry-timeout", "500ms");
    server.faults =
        (key, request) ->
            key == ApiKey.PRODUCE_LOG || key == ApiKey.FETCH_LOG || key == ApiKey.LOOKUP
                ? FakeServer.error(ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION)
                : null;
    long start = System.nanoTime();
    try (AppendWriter writer = client.newAppendWriter(server.table);
        LogScanner scanner = client.newLogScanner(server.table, null)) {
      writer.append(GenericRowData.of(1, 1));
      assertThrows(IOException.class, writer::flush);
      scanner.subscribe(0, 0);
      FlussException error =
          assertThrows(FlussException.class, () -> scanner.poll(Duration.ofSeconds(30)));
      assertEquals(ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION, error.code());
    }
    assertTrue(System.nanoTime() - start < TimeUnit.SECONDS.toNanos(20));
  }

  @Test
  void memoryOfAFailedWriterIsFreeAgain() throws Exception {
    start(1, false, "client.writer.buffer.memory-size", "2kb");
    server.faults =
        (key, request) ->
            key == ApiKey.PRODUCE_LOG && request < 3
                ? FakeServer.error(ErrorCode.AUTHORIZATION_EXCEPTION)
                : null;
    try (AppendWriter writer = client.newAppendWriter(server.table)) {
      assertThrows(
          IOException.class,
          () -> {
            for (int i = 0; i < 100_000; i++) {
              writer.append(GenericRowData.of(i, i));
            }
          });
    }
    server.faults = (key, request) -> null;
    append(3000);
    assertEquals(range(3000), stored(0));
  }

  @ParameterizedTest
  @ValueSource(longs = {1, 2, 3})
  void everyRecordIsReadOnceAndInOrderWhateverHappens(long seed) throws Exception {
    start(2, false);
    append(1500);
    Random random = new Random(seed);
    Integer[] retriable = {1, 10, 11, 12, 21, 24, 26, 44};
    server.faults =
        new FakeServer.Faults() {
          @Override
          public synchronized Integer before(ApiKey key, int request) {
            if (key != ApiKey.FETCH_LOG || random.nextInt(100) >= 8) {
              return null;
            }
            int kind = random.nextInt(20);
            if (kind == 0) {
              return FakeServer.NO_ANSWER;
            }
            return kind < 4 ? FakeServer.BREAK : retriable[random.nextInt(retriable.length)];
          }
        };
    Map<Integer, List<Integer>> read = Map.of(0, new ArrayList<>(), 1, new ArrayList<>());
    try (FlussClient reader =
            FlussClient.connect(
                ClientOptions.fromMap(
                    Map.of(
                        "bootstrap.servers", server.address(),
                        "client.request-timeout", "300ms",
                        "client.scanner.log.fetch.wait-max-time", "10ms",
                        "client.scanner.log.max-poll-records", "7")));
        LogScanner scanner = reader.newLogScanner(server.table, null)) {
      scanner.subscribe(0, LogScanner.EARLIEST_OFFSET);
      scanner.subscribe(1, 5);
      int count = 0;
      while (count < 1495) {
        ScanBatch batch = scanner.poll(Duration.ofMillis(100));
        assertTrue(batch.count() <= 7);
        count += batch.count();
        for (BucketRecords run : batch.buckets()) {
          for (LogRecord record : run.records()) {
            read.get(run.bucket()).add(record.row().getInt(0));
          }
        }
      }
    }
    assertEquals(stored(0), read.get(0));
    assertEquals(stored(1).subList(5, stored(1).size()), read.get(1));
  }

  @Test
  void projectionThatTheServerRefusesIsDoneHere() throws Exception {
    start(1, false);
    append(100);
    List<Integer> read = new ArrayList<>();
    try (LogScanner scanner = client.newLogScanner(server.table, new int[] {1})) {
      scanner.subscribe(0, 0);
      while (read.size() < 100) {
        for (BucketRecords run : scanner.poll(Duration.ofSeconds(1)).buckets()) {
          for (int i = 0; i < run.size(); i++) {
            assertEquals(1, run.row(i).getArity());
            read.add(run.row(i).getInt(0));
          }
        }
      }
    }
    assertEquals(range(100), read);
  }

  @Test
  void lookupsGatherAndSurviveFaults() throws Exception {
    start(1, true);
    for (int i = 0; i < 5000; i++) {
      server.values.put(
          Vectors.hex(KeyEncoder.of(TYPE, new int[] {0}).encode(GenericRowData.of(i, i))),
          new byte[] {
            1, 0, 2, (byte) (i & 127)
          }); // Schema id 1, null bits with v null, id in one byte.
    }
    Map<Integer, Integer> faults =
        Map.of(
            1, FakeServer.NO_ANSWER,
            3, FakeServer.BREAK,
            5, FakeServer.error(ErrorCode.KV_STORAGE_EXCEPTION));
    server.faults = (key, request) -> key == ApiKey.LOOKUP ? faults.get(request) : null;
    try (Lookuper lookuper = client.newLookuper(server.table)) {
      List<CompletableFuture<RowData>> rows = new ArrayList<>();
      for (int i = 0; i < 5000; i++) {
        rows.add(lookuper.lookup(GenericRowData.of(i)));
      }
      for (int i = 0; i < 5000; i++) {
        RowData row = rows.get(i).get(20, TimeUnit.SECONDS);
        assertEquals(i & 127, row.getInt(0));
        assertTrue(row.isNullAt(1));
      }
      assertTrue(server.count(ApiKey.LOOKUP) < 500, server.count(ApiKey.LOOKUP) + " requests");

      CountDownLatch chained = new CountDownLatch(1);
      server.faults =
          (key, request) -> {
            await(chained);
            return null;
          };
      CompletableFuture<Boolean> blocked =
          lookuper
              .lookup(GenericRowData.of(1))
              .handle(
                  (row, error) -> {
                    assertThrows(IllegalStateException.class, () -> client.listDatabases());
                    return true;
                  });
      chained.countDown();
      assertTrue(blocked.get(10, TimeUnit.SECONDS));
      server.faults = (key, request) -> FakeServer.NO_ANSWER;
      CompletableFuture<RowData> waiting = lookuper.lookup(GenericRowData.of(1));
      CompletableFuture<RowData> behind = lookuper.lookup(GenericRowData.of(2));
      lookuper.close();
      assertThrows(ExecutionException.class, () -> behind.get(10, TimeUnit.SECONDS));
      client.close();
      assertThrows(ExecutionException.class, () -> waiting.get(10, TimeUnit.SECONDS));
    }
  }

  @Test
  void aChangeWhoseResponseIsLostIsNotRepeated() throws Exception {
    start(1, false);
    server.faults = (key, request) -> key == ApiKey.CREATE_TABLE ? FakeServer.NO_ANSWER : null;
    TableDescriptor descriptor = TableDescriptor.builder().rowType(TYPE).build();
    FlussException error =
        assertThrows(
            FlussException.class,
            () -> client.createTable(TablePath.of("db", "x"), descriptor, false));
    assertEquals(ErrorCode.REQUEST_TIME_OUT, error.code());
    assertEquals(1, server.count(ApiKey.CREATE_TABLE));
    server.faults =
        (key, request) -> key == ApiKey.CREATE_TABLE && request < 3 ? FakeServer.NO_ANSWER : null;
    client.createTable(TablePath.of("db", "x"), descriptor, true);
    assertEquals(4, server.count(ApiKey.CREATE_TABLE));
  }

  @Test
  void missingApisAreNamed() throws Exception {
    start(1, true);
    server.unsupported.add(ApiKey.SCAN_KV);
    try (FlussClient other =
        FlussClient.connect(ClientOptions.fromMap(Map.of("bootstrap.servers", server.address())))) {
      assertFalse(other.supports(ApiKey.SCAN_KV));
      assertTrue(other.supports(ApiKey.LOOKUP));
      FlussException error =
          assertThrows(FlussException.class, () -> other.newKvScanner(server.table, 0));
      assertEquals(ErrorCode.UNSUPPORTED_VERSION, error.code());
      assertTrue(error.getMessage().contains("SCAN_KV"), error.getMessage());
    }
  }

  @Test
  void aClosedClientFailsEverything() throws Exception {
    start(1, false);
    AppendWriter writer = client.newAppendWriter(server.table);
    LogScanner scanner = client.newLogScanner(server.table, null);
    client.close();
    assertThrows(FlussException.class, () -> client.getTable(server.table.path()));
    assertThrows(IOException.class, () -> writer.append(GenericRowData.of(1, 1)));
    assertThrows(FlussException.class, () -> scanner.poll(Duration.ofSeconds(30)));
    writer.close();
    scanner.close();
    assertThrows(IllegalStateException.class, () -> scanner.poll(Duration.ZERO));
  }

  @Test
  void closingTheClientEndsAFlushThatWaits() throws Exception {
    start(1, false);
    server.faults = (key, request) -> key == ApiKey.PRODUCE_LOG ? FakeServer.NO_ANSWER : null;
    AppendWriter writer = client.newAppendWriter(server.table);
    writer.append(GenericRowData.of(1, 1));
    CompletableFuture<Boolean> flush =
        CompletableFuture.supplyAsync(
            () -> {
              assertThrows(IOException.class, writer::flush);
              return true;
            });
    client.close();
    assertTrue(flush.get(10, TimeUnit.SECONDS));
    writer.close();
  }
}
