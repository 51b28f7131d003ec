import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import org.apache.fluss.client.admin.Admin;
import org.apache.fluss.client.admin.KvSnapshotLease;
import org.apache.fluss.client.admin.ListOffsetsResult;
import org.apache.fluss.client.admin.OffsetSpec;
import org.apache.fluss.client.admin.ProducerOffsetsResult;
import org.apache.fluss.client.metadata.KvSnapshots;
import org.apache.fluss.client.metadata.LakeSnapshot;
import org.apache.fluss.cluster.ServerNode;
import org.apache.fluss.cluster.rebalance.GoalType;
import org.apache.fluss.cluster.rebalance.RebalanceProgress;
import org.apache.fluss.cluster.rebalance.ServerTag;
import org.apache.fluss.config.cluster.AlterConfig;
import org.apache.fluss.config.cluster.AlterConfigOpType;
import org.apache.fluss.config.cluster.ConfigEntry;
import org.apache.fluss.metadata.DatabaseDescriptor;
import org.apache.fluss.metadata.DatabaseInfo;
import org.apache.fluss.metadata.DatabaseSummary;
import org.apache.fluss.metadata.PartitionInfo;
import org.apache.fluss.metadata.Schema;
import org.apache.fluss.metadata.SchemaInfo;
import org.apache.fluss.metadata.TableBucket;
import org.apache.fluss.metadata.TableChange;
import org.apache.fluss.metadata.TableInfo;
import org.apache.fluss.security.acl.AccessControlEntry;
import org.apache.fluss.security.acl.AccessControlEntryFilter;
import org.apache.fluss.security.acl.AclBinding;
import org.apache.fluss.security.acl.AclBindingFilter;
import org.apache.fluss.security.acl.FlussPrincipal;
import org.apache.fluss.security.acl.OperationType;
import org.apache.fluss.security.acl.PermissionType;
import org.apache.fluss.security.acl.Resource;
import org.apache.fluss.security.acl.ResourceFilter;
import org.apache.fluss.security.acl.ResourceType;
import org.apache.fluss.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.fluss.types.DataTypeParser;

/** Everything of the Admin interface that 0.9.1 has. */
final class AdminCalls {
  private final Connections connections;

  AdminCalls(Connections connections) {
    this.connections = connections;
  }

  void register(Map<String, Driver.Call> calls) {
    registerDatabases(calls);
    registerTables(calls);
    registerPartitions(calls);
    registerSnapshots(calls);
    registerSecurity(calls);
    registerCluster(calls);
  }

  private Admin admin(JsonNode request) {
    return connections.get(request).getAdmin();
  }

  private void registerDatabases(Map<String, Driver.Call> calls) {
    calls.put(
        "create_database",
        request -> {
          DatabaseDescriptor.Builder descriptor =
              DatabaseDescriptor.builder()
                  .comment(Requests.text(request, "comment"))
                  .customProperties(Requests.strings(request, "properties"));
          boolean ignore = Requests.flag(request, "ignore_if_exists");
          return admin(request).createDatabase(name(request), descriptor.build(), ignore).get();
        });
    calls.put(
        "drop_database",
        request -> {
          boolean ignore = Requests.flag(request, "ignore_if_not_exists");
          return admin(request).dropDatabase(name(request), ignore, Requests.flag(request, "cascade")).get();
        });
    calls.put("database_exists", request -> admin(request).databaseExists(name(request)).get());
    calls.put("list_databases", request -> admin(request).listDatabases().get());
    calls.put(
        "list_database_summaries",
        request -> {
          Map<String, Object> found = new HashMap<>();
          for (DatabaseSummary summary : admin(request).listDatabaseSummaries().get()) {
            found.put(summary.getDatabaseName(), summary.getTableCount());
          }
          return found;
        });
    calls.put(
        "database_info",
        request -> {
          DatabaseInfo info = admin(request).getDatabaseInfo(name(request)).get();
          Map<String, Object> found = new LinkedHashMap<>();
          found.put("name", info.getDatabaseName());
          found.put("comment", info.getDatabaseDescriptor().getComment().orElse(null));
          found.put("properties", info.getDatabaseDescriptor().getCustomProperties());
          found.put("created_time", info.getCreatedTime());
          found.put("modified_time", info.getModifiedTime());
          return found;
        });
  }

  private void registerTables(Map<String, Driver.Call> calls) {
    calls.put(
        "create_table",
        request -> {
          boolean ignore = Requests.flag(request, "ignore_if_exists");
          return admin(request).createTable(Requests.path(request), Requests.descriptor(request), ignore).get();
        });
    calls.put(
        "drop_table",
        request ->
            admin(request).dropTable(Requests.path(request), Requests.flag(request, "ignore_if_not_exists")).get());
    calls.put("table_exists", request -> admin(request).tableExists(Requests.path(request)).get());
    calls.put("list_tables", request -> admin(request).listTables(Requests.text(request, "database")).get());
    calls.put("table_info", request -> describe(admin(request).getTableInfo(Requests.path(request)).get()));
    calls.put(
        "table_schema",
        request -> {
          SchemaInfo schema =
              request.hasNonNull("schema_id")
                  ? admin(request).getTableSchema(Requests.path(request), request.get("schema_id").asInt()).get()
                  : admin(request).getTableSchema(Requests.path(request)).get();
          Map<String, Object> found = new LinkedHashMap<>();
          found.put("schema_id", schema.getSchemaId());
          found.put("columns", columns(schema.getSchema()));
          return found;
        });
    calls.put(
        "alter_table",
        request -> {
          List<TableChange> changes = new ArrayList<>();
          Requests.strings(request, "set").forEach((key, value) -> changes.add(TableChange.set(key, value)));
          Requests.list(request, "reset").forEach(key -> changes.add(TableChange.reset(key)));
          if (request.hasNonNull("add_columns")) {
            for (JsonNode column : request.get("add_columns")) {
              changes.add(
                  TableChange.addColumn(
                      column.get("name").asText(),
                      DataTypeParser.parse(column.get("type").asText()),
                      Requests.text(column, "comment"),
                      position(Requests.text(column, "position"))));
            }
          }
          Requests.list(request, "drop_columns").forEach(column -> changes.add(TableChange.dropColumn(column)));
          Requests.strings(request, "rename_columns")
              .forEach((from, to) -> changes.add(TableChange.renameColumn(from, to)));
          boolean ignore = Requests.flag(request, "ignore_if_not_exists");
          return admin(request).alterTable(Requests.path(request), changes, ignore).get();
        });
    calls.put("table_stats", request -> admin(request).getTableStats(Requests.path(request)).get().getRowCount());
    calls.put(
        "list_offsets",
        request -> {
          List<Integer> buckets = Requests.numbers(request, "buckets");
          String partition = Requests.text(request, "partition");
          OffsetSpec spec = offsetSpec(request.get("spec"));
          ListOffsetsResult offsets =
              partition == null
                  ? admin(request).listOffsets(Requests.path(request), buckets, spec)
                  : admin(request).listOffsets(Requests.path(request), partition, buckets, spec);
          return offsets.all().get();
        });
  }

  private void registerPartitions(Map<String, Driver.Call> calls) {
    calls.put(
        "create_partition",
        request -> {
          boolean ignore = Requests.flag(request, "ignore_if_exists");
          return admin(request)
              .createPartition(Requests.path(request), Requests.partitionSpec(request), ignore)
              .get();
        });
    calls.put(
        "drop_partition",
        request -> {
          boolean ignore = Requests.flag(request, "ignore_if_not_exists");
          return admin(request).dropPartition(Requests.path(request), Requests.partitionSpec(request), ignore).get();
        });
    calls.put(
        "list_partitions",
        request -> {
          List<PartitionInfo> partitions =
              request.hasNonNull("spec")
                  ? admin(request).listPartitionInfos(Requests.path(request), Requests.partitionSpec(request)).get()
                  : admin(request).listPartitionInfos(Requests.path(request)).get();
          Map<String, Long> found = new LinkedHashMap<>();
          for (PartitionInfo partition : partitions) {
            found.put(partition.getPartitionName(), partition.getPartitionId());
          }
          return found;
        });
  }

  private void registerSnapshots(Map<String, Driver.Call> calls) {
    calls.put(
        "latest_kv_snapshots",
        request -> {
          String partition = Requests.text(request, "partition");
          KvSnapshots snapshots =
              partition == null
                  ? admin(request).getLatestKvSnapshots(Requests.path(request)).get()
                  : admin(request).getLatestKvSnapshots(Requests.path(request), partition).get();
          Map<Integer, Object> found = new LinkedHashMap<>();
          for (int bucket : snapshots.getBucketIds()) {
            OptionalLong id = snapshots.getSnapshotId(bucket);
            found.put(bucket, id.isPresent() ? id.getAsLong() : null);
          }
          return found;
        });
    calls.put(
        "kv_snapshot_metadata",
        request -> {
          TableBucket bucket = Requests.bucket(request, request.get("table_id").asLong());
          return admin(request).getKvSnapshotMetadata(bucket, request.get("snapshot_id").asLong()).get().getLogOffset();
        });
    calls.put(
        "kv_snapshot_lease",
        request -> {
          KvSnapshotLease lease = admin(request).createKvSnapshotLease(Requests.text(request, "lease"), 60_000L);
          TableBucket bucket = Requests.bucket(request, request.get("table_id").asLong());
          switch (request.get("step").asText()) {
            case "acquire":
              long snapshot = request.get("snapshot_id").asLong();
              return lease.acquireSnapshots(Map.of(bucket, snapshot)).get().getUnavailableSnapshots().size();
            case "release":
              return lease.releaseSnapshots(Collections.singleton(bucket)).get();
            default:
              return lease.dropLease().get();
          }
        });
    calls.put(
        "lake_snapshot",
        request -> {
          LakeSnapshot snapshot =
              request.hasNonNull("snapshot_id")
                  ? admin(request).getLakeSnapshot(Requests.path(request), request.get("snapshot_id").asLong()).get()
                  : Requests.flag(request, "readable")
                      ? admin(request).getReadableLakeSnapshot(Requests.path(request)).get()
                      : admin(request).getLatestLakeSnapshot(Requests.path(request)).get();
          return snapshot.getSnapshotId();
        });
    calls.put(
        "register_producer_offsets",
        request -> {
          Map<TableBucket, Long> offsets = new HashMap<>();
          for (JsonNode entry : request.get("offsets")) {
            offsets.put(Requests.bucket(entry, entry.get("table_id").asLong()), entry.get("offset").asLong());
          }
          return admin(request).registerProducerOffsets(Requests.text(request, "producer"), offsets).get().name();
        });
    calls.put(
        "producer_offsets",
        request -> {
          ProducerOffsetsResult result = admin(request).getProducerOffsets(Requests.text(request, "producer")).get();
          if (result == null) {
            return null;
          }
          List<Object> found = new ArrayList<>();
          for (Map<TableBucket, Long> table : result.getTableOffsets().values()) {
            table.forEach(
                (bucket, offset) -> found.add(List.of(bucket.getTableId(), bucket.getBucket(), offset)));
          }
          return found;
        });
    calls.put(
        "delete_producer_offsets",
        request -> admin(request).deleteProducerOffsets(Requests.text(request, "producer")).get());
  }

  private void registerSecurity(Map<String, Driver.Call> calls) {
    calls.put(
        "create_acls",
        request -> {
          List<AclBinding> bindings = new ArrayList<>();
          for (JsonNode acl : request.get("acls")) {
            AccessControlEntry entry =
                new AccessControlEntry(
                    principal(acl), text(acl, "host", "*"), operation(acl), PermissionType.ALLOW);
            bindings.add(new AclBinding(new Resource(resourceType(acl), Requests.text(acl, "resource")), entry));
          }
          return admin(request).createAcls(bindings).all().get();
        });
    calls.put("list_acls", request -> describe(admin(request).listAcls(filter(request.get("filter"))).get()));
    calls.put(
        "drop_acls",
        request -> describe(admin(request).dropAcls(List.of(filter(request.get("filter")))).all().get()));
  }

  private void registerCluster(Map<String, Driver.Call> calls) {
    calls.put(
        "server_nodes",
        request -> {
          List<Object> found = new ArrayList<>();
          for (ServerNode node : admin(request).getServerNodes().get()) {
            found.add(List.of(node.serverType().name(), node.id(), node.host(), node.port()));
          }
          return found;
        });
    calls.put(
        "describe_cluster_configs",
        request -> {
          Map<String, Object> found = new HashMap<>();
          for (ConfigEntry entry : admin(request).describeClusterConfigs().get()) {
            List<Object> value = new ArrayList<>();
            value.add(entry.value());
            value.add(entry.source().name());
            found.put(entry.key(), value);
          }
          return found;
        });
    calls.put(
        "alter_cluster_configs",
        request -> {
          List<AlterConfig> changes = new ArrayList<>();
          for (JsonNode change : request.get("changes")) {
            AlterConfigOpType type = AlterConfigOpType.valueOf(change.get("operation").asText());
            changes.add(new AlterConfig(Requests.text(change, "key"), Requests.text(change, "value"), type));
          }
          return admin(request).alterClusterConfigs(changes).get();
        });
    calls.put(
        "add_server_tag",
        request -> admin(request).addServerTag(Requests.numbers(request, "servers"), tag(request)).get());
    calls.put(
        "remove_server_tag",
        request -> admin(request).removeServerTag(Requests.numbers(request, "servers"), tag(request)).get());
    calls.put("rebalance", request -> admin(request).rebalance(List.of(GoalType.LEADER_DISTRIBUTION)).get());
    calls.put(
        "list_rebalance_progress",
        request -> {
          Optional<RebalanceProgress> progress =
              admin(request).listRebalanceProgress(Requests.text(request, "id")).get();
          return progress.map(found -> found.status().name()).orElse(null);
        });
    calls.put("cancel_rebalance", request -> admin(request).cancelRebalance(Requests.text(request, "id")).get());
  }

  private static String name(JsonNode request) {
    return Requests.text(request, "name");
  }

  private static String text(JsonNode request, String name, String fallback) {
    return request.hasNonNull(name) ? request.get(name).asText() : fallback;
  }

  private static OffsetSpec offsetSpec(JsonNode spec) {
    if (spec.isNumber()) {
      return new OffsetSpec.TimestampSpec(spec.asLong());
    }
    return spec.asText().equals("earliest") ? new OffsetSpec.EarliestSpec() : new OffsetSpec.LatestSpec();
  }

  private static TableChange.ColumnPosition position(String position) {
    if (position == null) {
      return TableChange.ColumnPosition.last();
    }
    return position.equals("first")
        ? TableChange.ColumnPosition.first()
        : TableChange.ColumnPosition.after(position);
  }

  private static ServerTag tag(JsonNode request) {
    return ServerTag.valueOf(request.get("tag").asText());
  }

  private static FlussPrincipal principal(JsonNode acl) {
    String name = Requests.text(acl, "principal");
    return name == null ? null : name.equals("*") ? FlussPrincipal.WILD_CARD_PRINCIPAL : new FlussPrincipal(name, "User");
  }

  private static OperationType operation(JsonNode acl) {
    return OperationType.valueOf(text(acl, "operation", "ANY"));
  }

  private static ResourceType resourceType(JsonNode acl) {
    return ResourceType.valueOf(text(acl, "type", "ANY"));
  }

  private static AclBindingFilter filter(JsonNode filter) {
    FlussPrincipal principal = principal(filter);
    return new AclBindingFilter(
        new ResourceFilter(resourceType(filter), Requests.text(filter, "resource")),
        new AccessControlEntryFilter(
            principal == null ? FlussPrincipal.ANY : principal,
            Requests.text(filter, "host"),
            operation(filter),
            PermissionType.ANY));
  }

  private static List<Object> describe(Collection<AclBinding> bindings) {
    List<Object> found = new ArrayList<>();
    for (AclBinding binding : bindings) {
      AccessControlEntry entry = binding.getAccessControlEntry();
      found.add(
          List.of(
              entry.getPrincipal().getName(),
              entry.getHost(),
              entry.getOperationType().name(),
              binding.getResource().getType().name(),
              binding.getResource().getName()));
    }
    return found;
  }

  private static Map<String, Object> describe(TableInfo info) {
    Map<String, Object> found = new LinkedHashMap<>();
    found.put("table_id", info.getTableId());
    found.put("schema_id", info.getSchemaId());
    found.put("columns", columns(info.getSchema()));
    found.put("primary_key", info.getPrimaryKeys());
    found.put("bucket_key", info.getBucketKeys());
    found.put("partitioned_by", info.getPartitionKeys());
    found.put("buckets", info.getNumBuckets());
    found.put("properties", info.getProperties().toMap());
    found.put("custom_properties", info.getCustomProperties().toMap());
    found.put("comment", info.getComment().orElse(null));
    found.put("created_time", info.getCreatedTime());
    found.put("modified_time", info.getModifiedTime());
    return found;
  }

  private static List<Object> columns(Schema schema) {
    List<Object> found = new ArrayList<>();
    for (Schema.Column column : schema.getColumns()) {
      found.add(List.of(column.getName(), column.getDataType().asSummaryString(), column.getColumnId()));
    }
    return found;
  }
}
