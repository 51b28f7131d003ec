package io.fluss.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.IntType;
import org.apache.flink.table.types.logical.RowType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Which server a client connects to, and what it does when that one is down, or busy. */
@Timeout(60)
class ServersTest {
  private static final RowType TYPE =
      new RowType(false, List.of(new RowType.RowField("id", new IntType(false))));

  private final List<AutoCloseable> opened = new ArrayList<>();

  private FakeServer server() throws IOException {
    FakeServer server =
        new FakeServer(
            TableDescriptor.builder()
                .rowType(TYPE)
                .primaryKey(List.of("id"))
                .bucketKey(List.of("id"))
                .bucketCount(1)
                .build());
    opened.add(server);
    return server;
  }

  private FlussClient connect(String bootstrap, String... options) {
    Map<String, String> map = new HashMap<>();
    map.put("bootstrap.servers", bootstrap);
    map.put("client.request-timeout", "2s");
    map.put("client.retry-timeout", "20s");
    for (int i = 0; i < options.length; i += 2) {
      map.put(options[i], options[i + 1]);
    }
    FlussClient client = FlussClient.connect(ClientOptions.fromMap(map));
    opened.add(client);
    return client;
  }

  /** A port on which nobody listens. */
  private static int closedPort() throws IOException {
    try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      return socket.getLocalPort();
    }
  }

  @AfterEach
  void close() throws Exception {
    for (int i = opened.size() - 1; i >= 0; i--) {
      opened.get(i).close();
    }
  }

  @Test
  void readsNeedNoCoordinator() throws Exception {
    FakeServer server = server();
    for (int port : new int[] {closedPort(), -1}) {
      server.coordinatorPort = port;
      FlussClient client = connect(server.address());
      long start = System.nanoTime();

      assertEquals(7, client.getTable(server.table.path()).tableId());
      assertTrue(System.nanoTime() - start < TimeUnit.SECONDS.toNanos(5));
    }
  }

  @Test
  void changesFailAfterTheRetryTimeOutOfTheClient() throws Exception {
    FakeServer server = server();
    server.coordinatorPort = closedPort();
    FlussClient client = connect(server.address(), "client.retry-timeout", "500ms");

    FlussException error =
        assertThrows(
            FlussException.class,
            () -> client.createDatabase("db", new DatabaseDescriptor(null, Map.of()), false));

    assertEquals(ErrorCode.NETWORK_EXCEPTION, error.code());
    assertTrue(error.detail().contains(":" + server.coordinatorPort), error.detail());
  }

  @Test
  void aReadGoesOnWithTheNextServer() throws Exception {
    FakeServer down = server();
    FakeServer server = server();
    FlussClient client = connect(down.address() + "," + server.address());
    down.close();

    assertEquals(7, client.getTable(server.table.path()).tableId());
  }

  @Test
  void aStandbyIsPassedOver() throws Exception {
    FakeServer standby = server();
    standby.faults =
        (key, request) ->
            key == ApiKey.API_VERSIONS
                ? null
                : FakeServer.error(ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION);
    FakeServer server = server();

    FlussClient client = connect(standby.address() + "," + server.address());

    assertEquals(7, client.getTable(server.table.path()).tableId());
  }

  @Test
  void aCoordinatorThatNoLongerLeadsIsLookedUpAgain() throws Exception {
    FakeServer server = server();
    FlussClient client = connect(server.address());
    server.faults =
        (key, request) ->
            key == ApiKey.CREATE_TABLE && request == 0
                ? FakeServer.error(ErrorCode.NOT_COORDINATOR_LEADER_EXCEPTION)
                : null;
    int before = server.count(ApiKey.GET_METADATA);

    client.createTable(server.table.path(), TableDescriptor.builder().rowType(TYPE).build(), false);

    assertEquals(2, server.count(ApiKey.CREATE_TABLE));
    assertTrue(server.count(ApiKey.GET_METADATA) > before);
  }

  private static void pollUntil(LogScanner scanner, Duration quiet, Set<TableBucket> expected) {
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
    while (!scanner.caughtUpFor(quiet).equals(expected)) {
      assertTrue(System.nanoTime() < deadline, () -> "" + scanner.caughtUpFor(quiet));
      scanner.poll(Duration.ofMillis(10));
    }
  }

  @Test
  void aBucketIsCaughtUpWhileTheServerSaysSo() throws Exception {
    FakeServer server = server();
    FlussClient client = connect(server.address());
    Duration quiet = Duration.ofMillis(300);
    Set<TableBucket> bucket = Set.of(new TableBucket(0));
    try (LogScanner scanner = client.newLogScanner(server.table, null)) {
      scanner.subscribe(0, LogScanner.EARLIEST_OFFSET);
      long start = System.nanoTime();
      assertEquals(Set.of(), scanner.caughtUpFor(Duration.ZERO));
      pollUntil(scanner, quiet, bucket);
      assertTrue(System.nanoTime() - start >= quiet.toNanos());

      server.faults =
          (key, request) ->
              key == ApiKey.FETCH_LOG ? FakeServer.error(ErrorCode.STORAGE_EXCEPTION) : null;
      pollUntil(scanner, Duration.ZERO, Set.of());
      server.faults = (key, request) -> null;
      long back = System.nanoTime();
      pollUntil(scanner, quiet, bucket);
      assertTrue(System.nanoTime() - back >= quiet.toNanos(), "the time before does not count");
    }
  }

  @Test
  void aResponseWithoutPlaceForRecordsIsNotCaughtUp() throws Exception {
    FakeServer server = server();
    server.hiddenRecords = 5;
    FlussClient client = connect(server.address());
    try (LogScanner scanner = client.newLogScanner(server.table, null)) {
      scanner.subscribe(0, LogScanner.EARLIEST_OFFSET);
      int before = server.count(ApiKey.FETCH_LOG);
      while (server.count(ApiKey.FETCH_LOG) < before + 5) {
        scanner.poll(Duration.ofMillis(10));
      }
      assertEquals(Set.of(), scanner.caughtUpFor(Duration.ZERO));
    }
  }

  @Test
  void aScanWaitsForAFreeScanner() throws Exception {
    FakeServer server = server();
    FlussClient client = connect(server.address());
    server.faults =
        (key, request) ->
            key == ApiKey.SCAN_KV && request < 4
                ? FakeServer.error(ErrorCode.TOO_MANY_SCANNERS)
                : null;

    try (KvScanner scanner = client.newKvScanner(server.table, 0)) {
      List<RowData> rows = new ArrayList<>();
      assertFalse(scanner.next(rows));
    }
    assertEquals(5, server.count(ApiKey.SCAN_KV));
  }

  @Test
  void theWaitForAScannerEnds() throws Exception {
    FakeServer server = server();
    FlussClient client = connect(server.address(), "client.retry-timeout", "500ms");
    server.faults =
        (key, request) ->
            key == ApiKey.SCAN_KV ? FakeServer.error(ErrorCode.TOO_MANY_SCANNERS) : null;

    FlussException error =
        assertThrows(FlussException.class, () -> client.newKvScanner(server.table, 0));

    assertEquals(ErrorCode.TOO_MANY_SCANNERS, error.code());
    assertTrue(server.count(ApiKey.SCAN_KV) > 2);
  }
}
