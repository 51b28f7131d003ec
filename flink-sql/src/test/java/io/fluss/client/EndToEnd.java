package io.fluss.client;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.VarCharType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;

/** Tests against a running server, ours or an official one: -Dfluss.bootstrap=host:port. */
abstract class EndToEnd {
  static final LogicalType STRING = new VarCharType(VarCharType.MAX_LENGTH);
  static final String DATABASE = "e2e_" + Long.toHexString(System.nanoTime());

  FlussClient client;

  @BeforeEach
  void connect() {
    client = connect(Map.of());
    client.createDatabase(DATABASE, DatabaseDescriptor.EMPTY, true);
  }

  @AfterEach
  void close() {
    if (client != null) {
      client.dropDatabase(DATABASE, true, true);
      client.close();
    }
  }

  /** A client of the server with more options. */
  static FlussClient connect(Map<String, String> more) {
    Map<String, String> options = new HashMap<>(more);
    options.put("bootstrap.servers", System.getProperty("fluss.bootstrap"));
    return FlussClient.connect(ClientOptions.fromMap(options));
  }

  TableInfo create(String name, TableDescriptor descriptor) {
    TablePath path = TablePath.of(DATABASE, name);
    client.createTable(path, descriptor, false);
    return client.getTable(path);
  }

  /** Skips the test when the server does not have an option of the table. */
  TableInfo createIfSupported(String name, TableDescriptor descriptor) {
    try {
      return create(name, descriptor);
    } catch (FlussException e) {
      Assumptions.assumeFalse(e.code() == ErrorCode.INVALID_CONFIG_EXCEPTION, e.getMessage());
      throw e;
    }
  }

  static RowType row(Object... namesAndTypes) {
    List<RowType.RowField> fields = new ArrayList<>();
    for (int i = 0; i < namesAndTypes.length; i += 2) {
      fields.add(
          new RowType.RowField((String) namesAndTypes[i], (LogicalType) namesAndTypes[i + 1]));
    }
    return new RowType(false, fields);
  }

  /** Reads records of all buckets from the earliest offset until there are {@code count}. */
  List<LogRecord> scan(TableInfo table, int[] projection, int count) {
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
}
