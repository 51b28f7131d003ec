import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.fluss.client.Connection;
import org.apache.fluss.client.admin.ClusterHealth;
import org.apache.fluss.client.table.Table;
import org.apache.fluss.client.table.scanner.Scan;
import org.apache.fluss.client.table.scanner.batch.BatchScanner;
import org.apache.fluss.cluster.rebalance.ServerTag;
import org.apache.fluss.metadata.DatabaseChange;
import org.apache.fluss.metadata.TableChange;
import org.apache.fluss.predicate.Predicate;
import org.apache.fluss.predicate.PredicateBuilder;
import org.apache.fluss.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.fluss.types.RowType;

/** Calls that only later versions of the client have: those of 1.0.0. */
final class LaterCalls {
  private LaterCalls() {}

  static void register(Map<String, Driver.Call> calls, Connections connections) {
    calls.put(
        "alter_database",
        request -> {
          List<DatabaseChange> changes = new ArrayList<>();
          Requests.strings(request, "set").forEach((key, value) -> changes.add(DatabaseChange.set(key, value)));
          Requests.list(request, "reset").forEach(key -> changes.add(DatabaseChange.reset(key)));
          if (request.hasNonNull("comment")) {
            changes.add(DatabaseChange.updateComment(request.get("comment").asText()));
          }
          boolean ignore = Requests.flag(request, "ignore_if_not_exists");
          return admin(connections, request).alterDatabase(Requests.text(request, "name"), changes, ignore).get();
        });
    calls.put(
        "alter_bucket_count",
        request -> {
          List<TableChange> changes = List.of(TableChange.modifyBucketCount(request.get("bucket_count").asInt()));
          return admin(connections, request).alterTable(Requests.path(request), changes, false).get();
        });
    calls.put(
        "cluster_health",
        request -> {
          ClusterHealth health = admin(connections, request).getClusterHealth().get();
          return Map.of(
              "status", health.getStatus().name(),
              "replicas", health.getNumReplicas(),
              "in_sync", health.getInSyncReplicas(),
              "leaders", health.getNumLeaderReplicas(),
              "active_leaders", health.getActiveLeaderReplicas());
        });
    calls.put(
        "list_remote_log_manifests",
        request -> admin(connections, request).listRemoteLogManifests(tableId(request), null).get().size());
    calls.put(
        "list_kv_snapshots",
        request -> {
          var snapshots = admin(connections, request).listKvSnapshots(tableId(request), null).get();
          return snapshots.getSnapshotIdsByBucket();
        });
    calls.put(
        "add_server_tag_by_rack",
        request ->
            admin(connections, request).addServerTagByRack(Requests.list(request, "racks"), tag(request)).get());
    calls.put(
        "remove_server_tag_by_rack",
        request ->
            admin(connections, request).removeServerTagByRack(Requests.list(request, "racks"), tag(request)).get());
    calls.put("scan_kv", request -> scanKv(connections, request));
    TableCalls.filters = LaterCalls::filter;
  }

  /** Every row of a primary-key table, read with the strategy that the connection was opened with. */
  private static Object scanKv(Connections connections, JsonNode request) throws Exception {
    Table table = connections.table(request);
    Scan scan = table.newScan();
    RowType type = table.getTableInfo().getRowType();
    List<String> columns = Requests.list(request, "columns");
    if (!columns.isEmpty()) {
      scan = scan.project(columns);
      type = type.project(columns);
    }
    try (BatchScanner scanner = scan.createBatchScanner()) {
      return TableCalls.drain(scanner, type);
    }
  }

  private static Scan filter(Scan scan, RowType type, JsonNode filter) {
    PredicateBuilder builder = new PredicateBuilder(type);
    int index = builder.indexOf(filter.get("column").asText());
    Object value = Values.read(filter.get("value"), type.getTypeAt(index));
    Predicate predicate;
    switch (filter.get("operator").asText()) {
      case "=":
        predicate = builder.equal(index, value);
        break;
      case ">=":
        predicate = builder.greaterOrEqual(index, value);
        break;
      case "<":
        predicate = builder.lessThan(index, value);
        break;
      default:
        throw new IllegalArgumentException("operator " + filter.get("operator"));
    }
    return scan.filter(predicate);
  }

  private static org.apache.fluss.client.admin.Admin admin(Connections connections, JsonNode request) {
    Connection connection = connections.get(request);
    return connection.getAdmin();
  }

  private static long tableId(JsonNode request) {
    return request.get("table_id").asLong();
  }

  private static ServerTag tag(JsonNode request) {
    return ServerTag.valueOf(request.get("tag").asText());
  }
}
