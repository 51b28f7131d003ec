import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.apache.fluss.client.lookup.Lookup;
import org.apache.fluss.client.lookup.LookupResult;
import org.apache.fluss.client.lookup.Lookuper;
import org.apache.fluss.client.table.Table;
import org.apache.fluss.client.table.scanner.Scan;
import org.apache.fluss.client.table.scanner.ScanRecord;
import org.apache.fluss.client.table.scanner.batch.BatchScanner;
import org.apache.fluss.client.table.scanner.log.LogScanner;
import org.apache.fluss.client.table.scanner.log.ScanRecords;
import org.apache.fluss.client.table.writer.AppendWriter;
import org.apache.fluss.client.table.writer.Upsert;
import org.apache.fluss.client.table.writer.UpsertWriter;
import org.apache.fluss.metadata.TableBucket;
import org.apache.fluss.row.GenericRow;
import org.apache.fluss.row.InternalRow;
import org.apache.fluss.rpc.protocol.MergeMode;
import org.apache.fluss.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.fluss.types.RowType;
import org.apache.fluss.utils.CloseableIterator;

/** Reading and writing. */
final class TableCalls {
  /** Adds a filter to a scan, where the version of the client can. */
  interface Filters {
    Scan add(Scan scan, RowType type, JsonNode filter);
  }

  static Filters filters =
      (scan, type, filter) -> {
        throw new UnsupportedOperationException("this version of the client has no filters");
      };

  private static final Duration POLL = Duration.ofMillis(200);

  private final Connections connections;

  TableCalls(Connections connections) {
    this.connections = connections;
  }

  void register(Map<String, Driver.Call> calls) {
    calls.put("append", this::append);
    calls.put("upsert", request -> write(request, false));
    calls.put("delete", request -> write(request, true));
    calls.put("lookup", this::lookup);
    calls.put("scan", this::scan);
    calls.put("limit_scan", this::limitScan);
  }

  private Object append(JsonNode request) throws Exception {
    Table table = connections.table(request);
    RowType type = table.getTableInfo().getRowType();
    AppendWriter writer = table.newAppend().createWriter();
    List<CompletableFuture<?>> written = new ArrayList<>();
    for (JsonNode row : request.get("rows")) {
      written.add(writer.append(Values.row(row, type)));
    }
    writer.flush();
    for (CompletableFuture<?> result : written) {
      result.get();
    }
    return null;
  }

  private Object write(JsonNode request, boolean delete) throws Exception {
    Table table = connections.table(request);
    RowType type = table.getTableInfo().getRowType();
    Upsert upsert = table.newUpsert();
    List<String> columns = Requests.list(request, "columns");
    if (!columns.isEmpty()) {
      upsert = upsert.partialUpdate(columns.toArray(new String[0]));
    }
    if (request.hasNonNull("merge_mode")) {
      upsert = upsert.mergeMode(MergeMode.valueOf(request.get("merge_mode").asText()));
    }
    UpsertWriter writer = upsert.createWriter();
    List<CompletableFuture<?>> written = new ArrayList<>();
    for (JsonNode values : request.get("rows")) {
      GenericRow row = Values.row(values, type);
      written.add(delete ? writer.delete(row) : writer.upsert(row));
    }
    writer.flush();
    for (CompletableFuture<?> result : written) {
      result.get();
    }
    return null;
  }

  /** For every key the rows found: at most one by primary key, any number by a prefix of it. */
  private Object lookup(JsonNode request) throws Exception {
    Table table = connections.table(request);
    RowType type = table.getTableInfo().getRowType();
    List<String> by = Requests.list(request, "by");
    Lookup lookup = table.newLookup();
    if (!by.isEmpty()) {
      lookup = lookup.lookupBy(by);
    }
    if (Requests.flag(request, "insert_if_not_exists")) {
      lookup = lookup.enableInsertIfNotExists();
    }
    RowType keyType = type.project(by.isEmpty() ? table.getTableInfo().getPrimaryKeys() : by);
    Lookuper lookuper = lookup.createLookuper();
    List<CompletableFuture<LookupResult>> results = new ArrayList<>();
    for (JsonNode key : request.get("keys")) {
      results.add(lookuper.lookup(Values.row(key, keyType)));
    }
    List<Object> found = new ArrayList<>();
    for (CompletableFuture<LookupResult> result : results) {
      List<Object> rows = new ArrayList<>();
      for (InternalRow row : result.get().getRowList()) {
        if (row != null) {
          rows.add(Values.list(row, type));
        }
      }
      found.add(rows);
    }
    return found;
  }

  /** Polls until {@code count} records have come, then once more, and fails when they do not come in time. */
  private Object scan(JsonNode request) throws Exception {
    Table table = connections.table(request);
    RowType type = table.getTableInfo().getRowType();
    Scan scan = table.newScan();
    if (request.hasNonNull("filter")) {
      scan = filters.add(scan, type, request.get("filter"));
    }
    List<String> columns = Requests.list(request, "columns");
    if (!columns.isEmpty()) {
      scan = scan.project(columns);
      type = type.project(columns);
    }
    int count = request.get("count").asInt();
    long deadline = System.nanoTime() + Duration.ofSeconds(30).toNanos();
    List<Object> found = new ArrayList<>();
    try (LogScanner scanner = scan.createLogScanner()) {
      for (JsonNode start : request.get("starts")) {
        if (start.hasNonNull("partition_id")) {
          scanner.subscribe(
              start.get("partition_id").asLong(), start.get("bucket").asInt(), start.get("offset").asLong());
        } else {
          scanner.subscribe(start.get("bucket").asInt(), start.get("offset").asLong());
        }
      }
      while (found.size() < count) {
        if (System.nanoTime() > deadline) {
          throw new IllegalStateException(found.size() + " of " + count + " records: " + found);
        }
        collect(scanner.poll(POLL), type, found);
      }
      collect(scanner.poll(POLL), type, found);
    }
    return found;
  }

  private static void collect(ScanRecords records, RowType type, List<Object> found) {
    for (TableBucket bucket : records.buckets()) {
      for (ScanRecord record : records.records(bucket)) {
        Map<String, Object> entry = new LinkedHashMap<>();
        entry.put("partition_id", bucket.getPartitionId());
        entry.put("bucket", bucket.getBucket());
        entry.put("offset", record.logOffset());
        entry.put("timestamp", record.timestamp());
        entry.put("change", record.getChangeType().shortString());
        entry.put("row", Values.list(record.getRow(), type));
        found.add(entry);
      }
    }
  }

  private Object limitScan(JsonNode request) throws Exception {
    Table table = connections.table(request);
    RowType type = table.getTableInfo().getRowType();
    Scan scan = table.newScan().limit(request.get("limit").asInt());
    List<String> columns = Requests.list(request, "columns");
    if (!columns.isEmpty()) {
      scan = scan.project(columns);
      type = type.project(columns);
    }
    TableBucket bucket = Requests.bucket(request, table.getTableInfo().getTableId());
    try (BatchScanner scanner = scan.createBatchScanner(bucket)) {
      return drain(scanner, type);
    }
  }

  static List<Object> drain(BatchScanner scanner, RowType type) throws Exception {
    List<Object> found = new ArrayList<>();
    while (true) {
      CloseableIterator<InternalRow> rows = scanner.pollBatch(Duration.ofSeconds(10));
      if (rows == null) {
        return found;
      }
      while (rows.hasNext()) {
        found.add(Values.list(rows.next(), type));
      }
      rows.close();
    }
  }
}
