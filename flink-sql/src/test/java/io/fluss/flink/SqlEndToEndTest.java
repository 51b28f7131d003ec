package io.fluss.flink;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.fluss.flink.sink.FlussSink;
import io.fluss.flink.source.FlussSource;
import io.fluss.flink.source.OffsetsInitializer;
import java.net.URI;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.CoreOptions;
import org.apache.flink.configuration.DeploymentOptions;
import org.apache.flink.configuration.RestOptions;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.runtime.minicluster.MiniCluster;
import org.apache.flink.runtime.minicluster.MiniClusterConfiguration;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;
import org.apache.flink.types.Row;
import org.apache.flink.types.RowKind;
import org.apache.flink.util.CloseableIterator;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/**
 * Flink jobs against a running server, given by the system property {@code fluss.bootstrap};
 * without it the tests are skipped. Each test has a database of its own; they share one Flink
 * cluster in this JVM, because starting one for every job took most of their time.
 */
@Timeout(120)
class SqlEndToEndTest {

  private static final long READ_LIMIT_SECONDS = 60;
  private static final int PARALLELISM = 2;

  /** Of the jobs that a test runs at the same time, and one more. */
  private static final int SLOTS = 4 * PARALLELISM;

  private static final String SERVERS = System.getProperty("fluss.bootstrap", "");

  private static MiniCluster flink;

  private final String database = "e2e_" + UUID.randomUUID().toString().replace("-", "");

  private TableEnvironment batch;
  private TableEnvironment streaming;

  @BeforeAll
  static void startFlink() throws Exception {
    assumeTrue(!SERVERS.isEmpty(), "no server");
    Configuration config = new Configuration();
    config.set(RestOptions.BIND_PORT, "0");
    flink =
        new MiniCluster(
            new MiniClusterConfiguration.Builder()
                .setConfiguration(config)
                .setNumSlotsPerTaskManager(SLOTS)
                .build());
    flink.start();
  }

  @AfterAll
  static void stopFlink() throws Exception {
    if (flink != null) {
      flink.close();
    }
  }

  /** What sends jobs to the cluster. */
  private static Configuration jobs() throws Exception {
    URI rest = flink.getRestAddress().get();
    Configuration config = new Configuration();
    config.set(DeploymentOptions.TARGET, "remote");
    config.set(DeploymentOptions.ATTACHED, true); // execute() returns at the end of the job
    config.set(RestOptions.ADDRESS, rest.getHost());
    config.set(RestOptions.PORT, rest.getPort());
    config.set(CoreOptions.DEFAULT_PARALLELISM, PARALLELISM);
    return config;
  }

  @BeforeEach
  void connect() throws Exception {
    batch = environment(EnvironmentSettings.newInstance().inBatchMode());
    streaming = environment(EnvironmentSettings.newInstance().inStreamingMode());
  }

  private TableEnvironment environment(EnvironmentSettings.Builder settings) throws Exception {
    TableEnvironment environment =
        TableEnvironment.create(settings.withConfiguration(jobs()).build());
    environment.executeSql(
        String.format(
            "CREATE CATALOG fluss WITH ('type' = 'fluss', 'bootstrap.servers' = '%s')", SERVERS));
    environment.executeSql("USE CATALOG fluss");
    environment.executeSql("CREATE DATABASE IF NOT EXISTS " + database);
    environment.executeSql("USE " + database);
    return environment;
  }

  @AfterEach
  void drop() {
    if (batch != null) {
      batch.executeSql("USE fluss");
      batch.executeSql("DROP DATABASE " + database + " CASCADE");
    }
  }

  private void run(String statement) throws Exception {
    batch.executeSql(statement).await();
  }

  private List<String> read(TableEnvironment environment, String query, int rows) throws Exception {
    return read(environment.executeSql(query), rows);
  }

  /**
   * The first rows of a result, sorted. Its job has ended then, and gives its slots back. Without
   * these rows it is cancelled, because waiting for a row ignores interrupts and so every time-out.
   */
  private List<String> read(TableResult result, int rows) throws Exception {
    List<String> read = new ArrayList<>();
    CompletableFuture<Void> reading = new CompletableFuture<>();
    result
        .getJobClient()
        .ifPresent(
            job ->
                reading
                    .orTimeout(READ_LIMIT_SECONDS, TimeUnit.SECONDS)
                    .whenComplete((done, late) -> cancelIf(late != null, job)));
    try (CloseableIterator<Row> iterator = result.collect()) {
      while (read.size() < rows && iterator.hasNext()) {
        read.add(iterator.next().toString());
      }
    } finally {
      reading.complete(null);
    }
    if (result.getJobClient().isPresent()) {
      JobClient job = result.getJobClient().get();
      job.getJobExecutionResult().exceptionally(cancelled -> null).get();
    }
    Collections.sort(read);
    return read;
  }

  private static void cancelIf(boolean condition, JobClient job) {
    if (condition) {
      job.cancel();
    }
  }

  private List<String> readAll(String query) throws Exception {
    return read(batch, query, Integer.MAX_VALUE);
  }

  @Test
  void logTable() throws Exception {
    run(
        "CREATE TABLE log (id INT, name STRING, upper_name AS UPPER(name), t TIME)"
            + " COMMENT 'a log' WITH ('bucket.num' = '3')");
    run("INSERT INTO log VALUES (1, 'a', TIME '01:02:03'), (2, 'b', CAST(NULL AS TIME))");
    run("INSERT INTO log (id, name, t) SELECT 3, CAST(NULL AS STRING), CAST(NULL AS TIME)");

    List<String> rows =
        Arrays.asList("+I[1, a, A, 01:02:03]", "+I[2, b, B, null]", "+I[3, null, null, null]");
    assertEquals(rows, readAll("SELECT * FROM log"));
    assertEquals(rows, read(streaming, "SELECT * FROM log", 3));
    assertEquals(Arrays.asList("+I[3]"), readAll("SELECT COUNT(*) FROM log"));
    assertEquals(2, readAll("SELECT * FROM log LIMIT 2").size());
    String statement = readAll("SHOW CREATE TABLE log").get(0);
    assertTrue(statement.contains("`upper_name` AS UPPER(`name`)"), statement);
  }

  @Test
  void primaryKeyTable() throws Exception {
    run(
        "CREATE TABLE pk (a INT, b STRING, v BIGINT, w DOUBLE, PRIMARY KEY (b, a) NOT ENFORCED)"
            + " WITH ('bucket.num' = '2', 'bucket.key' = 'b')");
    run("INSERT INTO pk VALUES (1, 'x', 10, 1.5), (2, 'x', 20, 2.5), (1, 'y', 30, 3.5)");
    run("INSERT INTO pk (w, b, a) VALUES (9.5, 'x', 1)");
    run("DELETE FROM pk WHERE a = 2 AND b = 'x'");
    run("UPDATE pk SET v = 31 WHERE w = 3.5");

    List<String> state = Arrays.asList("+I[1, x, 10, 9.5]", "+I[1, y, 31, 3.5]");
    assertEquals(state, readAll("SELECT * FROM pk"));
    assertEquals(state, read(streaming, "SELECT * FROM pk", 2));
    assertEquals(
        Arrays.asList("+I[31]"), readAll("SELECT v FROM pk WHERE a = 1 AND b = 'y' AND w > 1"));
    assertEquals(Arrays.asList("+I[2]"), readAll("SELECT COUNT(*) FROM pk"));
    assertEquals(
        Arrays.asList(
            "+I[10, 1.5]",
            "+I[20, 2.5]",
            "+I[30, 3.5]",
            "+U[10, 9.5]",
            "+U[31, 3.5]",
            "-D[20, 2.5]",
            "-U[10, 1.5]",
            "-U[30, 3.5]"),
        read(streaming, "SELECT v, w FROM pk /*+ OPTIONS('scan.startup.mode' = 'earliest') */", 8));
  }

  @Test
  void lookupJoins() throws Exception {
    run("CREATE TABLE orders (id INT, k INT, l STRING, pt AS PROCTIME()) WITH ('bucket.num'='2')");
    run(
        "CREATE TABLE dim (k INT, l STRING, name STRING, PRIMARY KEY (k, l) NOT ENFORCED)"
            + " WITH ('bucket.num' = '3', 'bucket.key' = 'k')");
    run("INSERT INTO orders VALUES (1, 1, 'a'), (2, 1, 'b'), (3, 9, 'a')");
    run("INSERT INTO dim VALUES (1, 'a', '1a'), (1, 'b', '1b')");
    String join =
        "SELECT o.id, d.name FROM orders AS o LEFT JOIN dim %s"
            + " FOR SYSTEM_TIME AS OF o.pt AS d ON %s";

    for (String hint :
        Arrays.asList(
            "",
            "/*+ OPTIONS('lookup.async' = 'false') */",
            "/*+ OPTIONS('lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '9') */")) {
      assertEquals(
          Arrays.asList("+I[1, 1a]", "+I[2, 1b]", "+I[3, null]"),
          read(streaming, String.format(join, hint, "o.k = d.k AND o.l = d.l"), 3));
      assertEquals(
          Arrays.asList("+I[1, 1a]", "+I[1, 1b]", "+I[2, 1a]", "+I[2, 1b]", "+I[3, null]"),
          read(streaming, String.format(join, hint, "o.k = d.k"), 5));
    }
  }

  @Test
  void continuousAggregation() throws Exception {
    run("CREATE TABLE events (g INT, v INT)");
    run("CREATE TABLE sums (g INT, s INT, PRIMARY KEY (g) NOT ENFORCED)");
    run("INSERT INTO events VALUES (1, 1), (2, 2), (1, 3)");
    JobClient job =
        streaming
            .executeSql("INSERT INTO sums SELECT g, SUM(v) FROM events GROUP BY g")
            .getJobClient()
            .get();
    try (CloseableIterator<Row> changes = streaming.executeSql("SELECT * FROM sums").collect()) {
      run("INSERT INTO events VALUES (2, 40)");
      String last = "";
      while (!last.endsWith("[2, 42]") || last.startsWith("-")) {
        last = changes.next().toString();
      }
    } finally {
      job.cancel().get();
    }
    assertEquals(Arrays.asList("+I[1, 4]", "+I[2, 42]"), readAll("SELECT * FROM sums"));
  }

  @Test
  void windowsFireAlthoughBucketsStayEmpty() throws Exception {
    String columns =
        "(id INT, p STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)";
    run("CREATE TABLE quiet " + columns + " WITH ('bucket.num' = '4')");
    run("CREATE TABLE parts " + columns + " PARTITIONED BY (p) WITH ('bucket.num' = '1')");
    String rows =
        " VALUES (1, 'a', TIMESTAMP '2026-01-01 10:00:00'),"
            + " (2, 'a', TIMESTAMP '2026-01-01 10:00:07'),"
            + " (3, 'a', TIMESTAMP '2026-01-01 10:01:00')";
    List<TableResult> windows = new ArrayList<>(); // both wait for the idle time-out together
    for (String table : Arrays.asList("quiet", "parts")) {
      run("INSERT INTO " + table + rows);
      windows.add(
          streaming.executeSql(
              "SELECT window_start, COUNT(*) FROM TUMBLE(TABLE "
                  + table
                  + ", DESCRIPTOR(ts), INTERVAL '10' SECOND) GROUP BY window_start, window_end"));
    }
    for (TableResult result : windows) {
      assertEquals(Arrays.asList("+I[2026-01-01T10:00, 2]"), read(result, 1));
    }
  }

  @Test
  void dataStreams() throws Exception {
    run("CREATE TABLE target (id BIGINT, name STRING, PRIMARY KEY (id) NOT ENFORCED)");
    StreamExecutionEnvironment environment = new StreamExecutionEnvironment(jobs());
    FlussSink<Row> sink =
        FlussSink.builder()
            .setBootstrapServers(SERVERS)
            .setDatabase(database)
            .setTable("target")
            .build();
    environment
        .fromData(
            Row.ofKind(RowKind.INSERT, 1L, "a"),
            Row.ofKind(RowKind.INSERT, 2L, "b"),
            Row.ofKind(RowKind.UPDATE_AFTER, 1L, "c"),
            Row.ofKind(RowKind.DELETE, 2L, null))
        .sinkTo(sink);
    environment.execute();

    FlussSource<Row> source =
        FlussSource.builder()
            .setBootstrapServers(SERVERS)
            .setDatabase(database)
            .setTable("target")
            .setProjectedFields("name", "id")
            .setStartingOffsets(OffsetsInitializer.full())
            .setBounded()
            .build();
    DataStream<Row> rows =
        environment.fromSource(source, WatermarkStrategy.noWatermarks(), "target");
    List<Row> read = rows.executeAndCollect(10);

    assertEquals(1, read.size());
    assertEquals("c", read.get(0).getField("name"));
    assertEquals(1L, read.get(0).getField("id"));
  }

  @Test
  void mistakesAreNamed() throws Exception {
    run("CREATE TABLE t (a INT)");

    assertMessage(
        "Did you mean 'scan.startup.mode'?",
        "SELECT * FROM t /*+ OPTIONS('scan.startup.mod' = 'latest') */");
    assertMessage("Use STRING", "CREATE TABLE x (a VARCHAR(10))");
    assertMessage("no views", "CREATE VIEW v AS SELECT * FROM t");
    assertMessage("cannot be renamed", "ALTER TABLE t RENAME TO u");
    assertMessage("needs a primary key", "DELETE FROM t WHERE a = 1");
    assertMessage(
        "Did you mean 'client.writer.batch-size'?",
        "CREATE TABLE x (a INT) WITH ('client.writer.batch-sise' = '1mb')");
    assertMessage(
        "Did you mean 'client.request-timeout'?",
        "SELECT * FROM t /*+ OPTIONS('client.request-time-out' = '1 s') */");
    assertMessage(
        "Did you mean 'client.request-timeout'?",
        "ALTER TABLE t SET ('client.request-time-out' = '1 s')");
    assertMessage("no procedure sys.add_acl", "CALL sys.add_acl('TABLE', 'ALLOW')");
  }

  private void assertMessage(String part, String statement) {
    Throwable failure = assertThrows(Exception.class, () -> batch.executeSql(statement));
    StringBuilder messages = new StringBuilder();
    for (; failure != null; failure = failure.getCause()) {
      messages.append(failure.getMessage()).append('\n');
    }
    assertTrue(messages.toString().contains(part), messages.toString());
  }
}
