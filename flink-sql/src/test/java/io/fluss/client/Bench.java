package io.fluss.client;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;
import java.util.concurrent.ThreadLocalRandom;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.types.logical.BigIntType;
import org.apache.flink.table.types.logical.BooleanType;
import org.apache.flink.table.types.logical.DecimalType;
import org.apache.flink.table.types.logical.DoubleType;
import org.apache.flink.table.types.logical.IntType;
import org.apache.flink.table.types.logical.LocalZonedTimestampType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.TimestampType;
import org.apache.flink.table.types.logical.VarCharType;

/**
 * Rates of the client against a running server: {@code Bench host:port [rows]}. Ten columns, about
 * 190 bytes a row. Prints one line per figure.
 */
public final class Bench {
  private Bench() {}

  private static final RowType TYPE =
      new RowType(
          false,
          List.of(
              new RowType.RowField("id", new BigIntType(false)),
              new RowType.RowField("user", new IntType()),
              new RowType.RowField("name", new VarCharType(VarCharType.MAX_LENGTH)),
              new RowType.RowField("item", new VarCharType(VarCharType.MAX_LENGTH)),
              new RowType.RowField("note", new VarCharType(VarCharType.MAX_LENGTH)),
              new RowType.RowField("price", new DecimalType(10, 2)),
              new RowType.RowField("score", new DoubleType()),
              new RowType.RowField("flag", new BooleanType()),
              new RowType.RowField("ts", new TimestampType(6)),
              new RowType.RowField("ltz", new LocalZonedTimestampType(3))));

  private static RowData[] rows(int count) {
    Random random = new Random(1);
    RowData[] rows = new RowData[count];
    for (int i = 0; i < count; i++) {
      StringBuilder note = new StringBuilder();
      for (int w = 0; w < 14; w++) {
        note.append(Integer.toString(random.nextInt(50_000), 36)).append(' ');
      }
      StringData name = StringData.fromString("customer-" + random.nextInt(10_000));
      StringData item = StringData.fromString("article number " + random.nextInt(1_000));
      StringData text = StringData.fromString(note.toString());
      rows[i] =
          GenericRowData.of(
              (long) i,
              random.nextInt(10_000),
              StringData.fromBytes(name.toBytes()),
              StringData.fromBytes(item.toBytes()),
              StringData.fromBytes(text.toBytes()),
              DecimalData.fromUnscaledLong(random.nextInt(1_000_000), 10, 2),
              random.nextDouble(),
              random.nextBoolean(),
              TimestampData.fromEpochMillis(1_700_000_000_000L + i, 1000 * (i % 1000)),
              TimestampData.fromEpochMillis(1_700_000_000_000L + i));
    }
    return rows;
  }

  private static void report(String what, long count, long startNanos) {
    double seconds = (System.nanoTime() - startNanos) / 1e9;
    System.out.printf(
        Locale.ROOT, "%-48s %,12.0f per second (%.2f s)%n", what, count / seconds, seconds);
  }

  public static void main(String[] args) throws Exception {
    int count = args.length > 1 ? Integer.parseInt(args[1]) : 1_000_000;
    RowData[] rows = rows(100_000);
    try (FlussClient client =
        FlussClient.connect(ClientOptions.fromMap(Map.of("bootstrap.servers", args[0])))) {
      String database = "bench_" + System.currentTimeMillis();
      client.createDatabase(database, DatabaseDescriptor.EMPTY, false);
      try {
        for (String compression : List.of("NONE", "ZSTD", "LZ4_FRAME")) {
          log(client, TablePath.of(database, "log_" + compression), compression, rows, count);
        }
        kv(client, TablePath.of(database, "kv"), rows, count);
      } finally {
        client.dropDatabase(database, true, true);
      }
    }
  }

  private static void log(
      FlussClient client, TablePath path, String compression, RowData[] rows, int count)
      throws Exception {
    client.createTable(
        path,
        TableDescriptor.builder()
            .rowType(TYPE)
            .property("table.log.arrow.compression.type", compression)
            .build(),
        false);
    TableInfo table = client.getTable(path);
    for (int round = 0; round < 2; round++) {
      long start = System.nanoTime();
      try (AppendWriter writer = client.newAppendWriter(table)) {
        for (int i = 0; i < count; i++) {
          writer.append(rows[i % rows.length]);
        }
        writer.flush();
        report(
            "append " + compression + " (" + writer.bytesSent() / count + " bytes a row)",
            count,
            start);
      }
    }
    for (int[] projection : new int[][] {null, {0, 5}}) {
      for (int round = 0; round < 2; round++) {
        scan(client, table, projection, 2 * count, compression);
      }
    }
  }

  private static void scan(
      FlussClient client, TableInfo table, int[] projection, int count, String compression) {
    long start = System.nanoTime();
    long checksum = 0;
    int read = 0;
    try (LogScanner scanner = client.newLogScanner(table, projection)) {
      scanner.subscribe(0, 0);
      while (read < count) {
        for (BucketRecords run : scanner.poll(Duration.ofSeconds(5)).buckets()) {
          for (int i = 0; i < run.size(); i++) {
            RowData row = run.row(i);
            if (projection == null) {
              checksum +=
                  row.getLong(0)
                      + row.getInt(1)
                      + ((org.apache.flink.table.data.binary.BinaryStringData) row.getString(2))
                          .getSizeInBytes()
                      + ((org.apache.flink.table.data.binary.BinaryStringData) row.getString(3))
                          .getSizeInBytes()
                      + ((org.apache.flink.table.data.binary.BinaryStringData) row.getString(4))
                          .getSizeInBytes()
                      + row.getDecimal(5, 10, 2).toUnscaledLong()
                      + (long) row.getDouble(6)
                      + (row.getBoolean(7) ? 1 : 0)
                      + row.getTimestamp(8, 6).getMillisecond()
                      + row.getTimestamp(9, 3).getMillisecond();
            } else {
              checksum += row.getLong(0) + row.getDecimal(1, 10, 2).toUnscaledLong();
            }
          }
          read += run.size();
        }
      }
    }
    report(
        "scan " + (projection == null ? "all" : "2") + " columns " + compression + checksum % 10,
        count,
        start);
  }

  private static void kv(FlussClient client, TablePath path, RowData[] rows, int count)
      throws Exception {
    client.createTable(
        path, TableDescriptor.builder().rowType(TYPE).primaryKey(List.of("id")).build(), false);
    TableInfo table = client.getTable(path);
    int keys = rows.length;
    for (int round = 0; round < 3; round++) {
      long start = System.nanoTime();
      try (UpsertWriter writer = client.newUpsertWriter(table, null)) {
        for (RowData row : rows) {
          writer.upsert(row);
        }
        writer.flush();
      }
      report("upsert " + (round == 0 ? "new" : "known") + " keys", keys, start);
    }
    if (client.supports(ApiKey.SCAN_KV)) {
      for (int round = 0; round < 2; round++) {
        long start = System.nanoTime();
        try (KvScanner scanner = client.newKvScanner(table, 0)) {
          List<RowData> out = new ArrayList<>();
          int read = 0;
          while (scanner.next(out)) {
            read += out.size();
            out.clear();
          }
          report("key-value scan", read, start);
        }
      }
    }
    try (Lookuper lookuper = client.newLookuper(table)) {
      for (int inFlight : new int[] {1, 64, 256, 2048, 2048}) {
        lookups(lookuper, keys, inFlight, inFlight == 1 ? count / 100 : count / 5);
      }
    }
  }

  private static void lookups(Lookuper lookuper, int keys, int inFlight, int count)
      throws Exception {
    Semaphore slots = new Semaphore(inFlight);
    long[] latencies = new long[count];
    long start = System.nanoTime();
    for (int i = 0; i < count; i++) {
      slots.acquire();
      int index = i;
      long begin = System.nanoTime();
      CompletableFuture<RowData> row =
          lookuper.lookup(GenericRowData.of((long) ThreadLocalRandom.current().nextInt(keys)));
      row.whenComplete(
          (value, error) -> {
            latencies[index] = System.nanoTime() - begin;
            if (value == null) {
              System.out.println("miss or error: " + error);
            }
            slots.release();
          });
    }
    slots.acquire(inFlight);
    report("lookup, " + inFlight + " in flight", count, start);
    Arrays.sort(latencies);
    System.out.printf(
        Locale.ROOT,
        "    p50 %.2f ms, p99 %.2f ms%n",
        latencies[count / 2] / 1e6,
        latencies[count / 100 * 99] / 1e6);
  }
}
