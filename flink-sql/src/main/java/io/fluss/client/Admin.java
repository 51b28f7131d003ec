package io.fluss.client;

import com.google.protobuf.ByteString;
import com.google.protobuf.MessageLite;
import com.google.protobuf.Parser;
import io.fluss.client.json.Json;
import io.fluss.client.json.MetadataJson;
import io.fluss.client.json.TypeJson;
import io.fluss.client.rpc.ClientContext;
import io.fluss.client.rpc.Cluster;
import io.fluss.client.rpc.Errors;
import io.fluss.client.rpc.Node;
import io.fluss.rpc.proto.AlterTableRequest;
import io.fluss.rpc.proto.AlterTableResponse;
import io.fluss.rpc.proto.CreateDatabaseRequest;
import io.fluss.rpc.proto.CreateDatabaseResponse;
import io.fluss.rpc.proto.CreatePartitionRequest;
import io.fluss.rpc.proto.CreatePartitionResponse;
import io.fluss.rpc.proto.CreateTableRequest;
import io.fluss.rpc.proto.CreateTableResponse;
import io.fluss.rpc.proto.DatabaseExistsRequest;
import io.fluss.rpc.proto.DatabaseExistsResponse;
import io.fluss.rpc.proto.DropDatabaseRequest;
import io.fluss.rpc.proto.DropDatabaseResponse;
import io.fluss.rpc.proto.DropPartitionRequest;
import io.fluss.rpc.proto.DropPartitionResponse;
import io.fluss.rpc.proto.DropTableRequest;
import io.fluss.rpc.proto.DropTableResponse;
import io.fluss.rpc.proto.GetDatabaseInfoRequest;
import io.fluss.rpc.proto.GetDatabaseInfoResponse;
import io.fluss.rpc.proto.GetTableInfoRequest;
import io.fluss.rpc.proto.GetTableInfoResponse;
import io.fluss.rpc.proto.GetTableStatsRequest;
import io.fluss.rpc.proto.GetTableStatsResponse;
import io.fluss.rpc.proto.ListDatabasesRequest;
import io.fluss.rpc.proto.ListDatabasesResponse;
import io.fluss.rpc.proto.ListOffsetsRequest;
import io.fluss.rpc.proto.ListOffsetsResponse;
import io.fluss.rpc.proto.ListPartitionInfosRequest;
import io.fluss.rpc.proto.ListPartitionInfosResponse;
import io.fluss.rpc.proto.ListTablesRequest;
import io.fluss.rpc.proto.ListTablesResponse;
import io.fluss.rpc.proto.PbAddColumn;
import io.fluss.rpc.proto.PbAlterConfig;
import io.fluss.rpc.proto.PbKeyValue;
import io.fluss.rpc.proto.PbListOffsetsRespForBucket;
import io.fluss.rpc.proto.PbPartitionInfo;
import io.fluss.rpc.proto.PbPartitionSpec;
import io.fluss.rpc.proto.PbTableStatsReqForBucket;
import io.fluss.rpc.proto.PbTableStatsRespForBucket;
import io.fluss.rpc.proto.TableExistsRequest;
import io.fluss.rpc.proto.TableExistsResponse;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.function.BiFunction;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * Blocking calls on databases, tables and offsets. Read-only ones are repeated freely, others only
 * if unsent.
 */
final class Admin {
  private static final int LAST_POSITION = 0;

  private final ClientContext context;

  Admin(ClientContext context) {
    this.context = context;
  }

  List<String> listDatabases() {
    ListDatabasesRequest request = ListDatabasesRequest.newBuilder().build();
    return new ArrayList<>(
        read(ApiKey.LIST_DATABASES, request, ListDatabasesResponse.parser()).getDatabaseNameList());
  }

  boolean databaseExists(String database) {
    DatabaseExistsRequest request =
        DatabaseExistsRequest.newBuilder().setDatabaseName(database).build();
    return read(ApiKey.DATABASE_EXISTS, request, DatabaseExistsResponse.parser()).getExists();
  }

  DatabaseInfo getDatabase(String database) {
    GetDatabaseInfoRequest request =
        GetDatabaseInfoRequest.newBuilder().setDatabaseName(database).build();
    GetDatabaseInfoResponse response =
        read(ApiKey.GET_DATABASE_INFO, request, GetDatabaseInfoResponse.parser());
    return new DatabaseInfo(
        database,
        MetadataJson.databaseFromJson(response.getDatabaseJson().toByteArray()),
        response.getCreatedTime(),
        response.getModifiedTime());
  }

  void createDatabase(String database, DatabaseDescriptor descriptor, boolean ignoreIfExists) {
    CreateDatabaseRequest request =
        CreateDatabaseRequest.newBuilder()
            .setDatabaseName(database)
            .setIgnoreIfExists(ignoreIfExists)
            .setDatabaseJson(ByteString.copyFromUtf8(MetadataJson.databaseToJson(descriptor)))
            .build();
    write(ApiKey.CREATE_DATABASE, request, CreateDatabaseResponse.parser(), ignoreIfExists);
  }

  void dropDatabase(String database, boolean ignoreIfNotExists, boolean cascade) {
    DropDatabaseRequest request =
        DropDatabaseRequest.newBuilder()
            .setDatabaseName(database)
            .setIgnoreIfNotExists(ignoreIfNotExists)
            .setCascade(cascade)
            .build();
    write(ApiKey.DROP_DATABASE, request, DropDatabaseResponse.parser(), ignoreIfNotExists);
  }

  List<String> listTables(String database) {
    ListTablesRequest request = ListTablesRequest.newBuilder().setDatabaseName(database).build();
    return new ArrayList<>(
        read(ApiKey.LIST_TABLES, request, ListTablesResponse.parser()).getTableNameList());
  }

  boolean tableExists(TablePath path) {
    TableExistsRequest request =
        TableExistsRequest.newBuilder().setTablePath(Cluster.toProto(path)).build();
    return read(ApiKey.TABLE_EXISTS, request, TableExistsResponse.parser()).getExists();
  }

  TableInfo getTable(TablePath path) {
    GetTableInfoRequest request =
        GetTableInfoRequest.newBuilder().setTablePath(Cluster.toProto(path)).build();
    GetTableInfoResponse response =
        read(ApiKey.GET_TABLE_INFO, request, GetTableInfoResponse.parser());
    try {
      return new TableInfo(
          path,
          response.getTableId(),
          response.getSchemaId(),
          TableDescriptor.fromJson(response.getTableJson().toByteArray()),
          response.getCreatedTime(),
          response.getModifiedTime());
    } catch (IllegalArgumentException e) {
      throw new FlussException(
          ErrorCode.CORRUPT_MESSAGE,
          "the description of " + path + " cannot be read: " + e.getMessage(),
          e);
    }
  }

  void createTable(TablePath path, TableDescriptor descriptor, boolean ignoreIfExists) {
    CreateTableRequest request =
        CreateTableRequest.newBuilder()
            .setTablePath(Cluster.toProto(path))
            .setTableJson(ByteString.copyFromUtf8(descriptor.toJson()))
            .setIgnoreIfExists(ignoreIfExists)
            .build();
    write(ApiKey.CREATE_TABLE, request, CreateTableResponse.parser(), ignoreIfExists);
  }

  void dropTable(TablePath path, boolean ignoreIfNotExists) {
    DropTableRequest request =
        DropTableRequest.newBuilder()
            .setTablePath(Cluster.toProto(path))
            .setIgnoreIfNotExists(ignoreIfNotExists)
            .build();
    write(ApiKey.DROP_TABLE, request, DropTableResponse.parser(), ignoreIfNotExists);
  }

  void alterTable(TablePath path, List<ConfigChange> changes, boolean ignoreIfNotExists) {
    AlterTableRequest.Builder request = alteration(path, ignoreIfNotExists);
    for (ConfigChange change : changes) {
      PbAlterConfig.Builder config =
          PbAlterConfig.newBuilder().setConfigKey(change.key()).setOpType(change.isReset() ? 1 : 0);
      if (!change.isReset()) {
        config.setConfigValue(change.value());
      }
      request.addConfigChanges(config);
    }
    // Setting the same values twice changes nothing.
    write(ApiKey.ALTER_TABLE, request.build(), AlterTableResponse.parser(), true);
  }

  void addColumns(TablePath path, List<AddedColumn> columns, boolean ignoreIfNotExists) {
    AlterTableRequest.Builder request = alteration(path, ignoreIfNotExists);
    for (AddedColumn column : columns) {
      PbAddColumn.Builder added =
          PbAddColumn.newBuilder()
              .setColumnName(column.name())
              .setDataTypeJson(ByteString.copyFromUtf8(Json.write(TypeJson.toJson(column.type()))))
              .setColumnPositionType(LAST_POSITION);
      column.comment().ifPresent(added::setComment);
      request.addAddColumns(added);
    }
    write(ApiKey.ALTER_TABLE, request.build(), AlterTableResponse.parser(), false);
  }

  private static AlterTableRequest.Builder alteration(TablePath path, boolean ignoreIfNotExists) {
    return AlterTableRequest.newBuilder()
        .setTablePath(Cluster.toProto(path))
        .setIgnoreIfNotExists(ignoreIfNotExists);
  }

  /** Partitions with the given values of some of the partition columns, by id. */
  List<PartitionInfo> listPartitions(TablePath path, Map<String, String> spec) {
    ListPartitionInfosRequest.Builder request =
        ListPartitionInfosRequest.newBuilder().setTablePath(Cluster.toProto(path));
    if (!spec.isEmpty()) {
      request.setPartialPartitionSpec(toProto(spec));
    }
    List<PartitionInfo> partitions = new ArrayList<>();
    for (PbPartitionInfo partition :
        read(ApiKey.LIST_PARTITION_INFOS, request.build(), ListPartitionInfosResponse.parser())
            .getPartitionsInfoList()) {
      List<String> values =
          partition.getPartitionSpec().getPartitionKeyValuesList().stream()
              .map(PbKeyValue::getValue)
              .collect(Collectors.toList());
      partitions.add(new PartitionInfo(partition.getPartitionId(), PartitionInfo.nameOf(values)));
    }
    partitions.sort(Comparator.comparingLong(PartitionInfo::id));
    return partitions;
  }

  void createPartition(TablePath path, Map<String, String> spec, boolean ignoreIfExists) {
    CreatePartitionRequest request =
        CreatePartitionRequest.newBuilder()
            .setTablePath(Cluster.toProto(path))
            .setPartitionSpec(toProto(spec))
            .setIgnoreIfNotExists(ignoreIfExists) // the name on the wire is wrong
            .build();
    write(ApiKey.CREATE_PARTITION, request, CreatePartitionResponse.parser(), ignoreIfExists);
  }

  void dropPartition(TablePath path, Map<String, String> spec, boolean ignoreIfNotExists) {
    DropPartitionRequest request =
        DropPartitionRequest.newBuilder()
            .setTablePath(Cluster.toProto(path))
            .setPartitionSpec(toProto(spec))
            .setIgnoreIfNotExists(ignoreIfNotExists)
            .build();
    write(ApiKey.DROP_PARTITION, request, DropPartitionResponse.parser(), ignoreIfNotExists);
  }

  private static PbPartitionSpec toProto(Map<String, String> spec) {
    PbPartitionSpec.Builder result = PbPartitionSpec.newBuilder();
    spec.forEach(
        (key, value) ->
            result.addPartitionKeyValues(PbKeyValue.newBuilder().setKey(key).setValue(value)));
    return result.build();
  }

  /** Every server handles these, so they need no coordinator. */
  private <R extends MessageLite> R read(ApiKey key, MessageLite request, Parser<R> parser) {
    return context.callAny(node -> context.network().call(node, key, request, parser));
  }

  private <R extends MessageLite> R write(
      ApiKey key, MessageLite request, Parser<R> parser, boolean repeatable) {
    return context.callCoordinator(
        repeatable, node -> context.network().call(node, key, request, parser));
  }

  Map<Integer, Long> listOffsets(TableInfo table, Collection<Integer> buckets, OffsetSpec spec) {
    return perBucket(
        table,
        buckets,
        (node, group) -> {
          ListOffsetsRequest.Builder request =
              ListOffsetsRequest.newBuilder()
                  .setFollowerServerId(-1)
                  .setOffsetType(spec.type())
                  .setTableId(table.tableId())
                  .addAllBucketId(group);
          if (table.partition() != null) {
            request.setPartitionId(table.partition().id());
          }
          if (spec.timestamp() >= 0) {
            request.setStartTimestamp(spec.timestamp());
          }
          return context
              .network()
              .call(node, ApiKey.LIST_OFFSETS, request.build(), ListOffsetsResponse.parser())
              .thenApply(
                  response -> {
                    Map<Integer, Long> result = new HashMap<>();
                    for (PbListOffsetsRespForBucket bucket : response.getBucketsRespList()) {
                      check(bucket.getErrorCode(), bucket.getErrorMessage());
                      result.put(bucket.getBucketId(), bucket.getOffset());
                    }
                    return result;
                  });
        });
  }

  long rowCount(TableInfo table) {
    List<Integer> buckets =
        IntStream.range(0, table.bucketCount()).boxed().collect(Collectors.toList());
    if (!table.hasPrimaryKey() && !context.supports(ApiKey.GET_TABLE_STATS, true)) {
      Map<Integer, Long> earliest = listOffsets(table, buckets, OffsetSpec.earliest());
      Map<Integer, Long> latest = listOffsets(table, buckets, OffsetSpec.latest());
      return buckets.stream().mapToLong(bucket -> latest.get(bucket) - earliest.get(bucket)).sum();
    }
    Map<Integer, Long> counts =
        perBucket(
            table,
            buckets,
            (node, group) -> {
              GetTableStatsRequest.Builder request =
                  GetTableStatsRequest.newBuilder().setTableId(table.tableId());
              for (int bucket : group) {
                PbTableStatsReqForBucket.Builder bucketRequest =
                    PbTableStatsReqForBucket.newBuilder().setBucketId(bucket);
                if (table.partition() != null) {
                  bucketRequest.setPartitionId(table.partition().id());
                }
                request.addBucketsReq(bucketRequest);
              }
              return context
                  .network()
                  .call(
                      node, ApiKey.GET_TABLE_STATS, request.build(), GetTableStatsResponse.parser())
                  .thenApply(
                      response -> {
                        Map<Integer, Long> result = new HashMap<>();
                        for (PbTableStatsRespForBucket bucket : response.getBucketsRespList()) {
                          check(bucket.getErrorCode(), bucket.getErrorMessage());
                          result.put(bucket.getBucketId(), bucket.getRowCount());
                        }
                        return result;
                      });
            });
    return counts.values().stream().mapToLong(Long::longValue).sum();
  }

  private static void check(int errorCode, String message) {
    if (errorCode != 0) {
      throw Errors.toException(errorCode, message);
    }
  }

  /** One call per leader with its buckets, all again on a retriable error of one. */
  private Map<Integer, Long> perBucket(
      TableInfo table,
      Collection<Integer> buckets,
      BiFunction<Node, List<Integer>, CompletableFuture<Map<Integer, Long>>> call) {
    Set<Integer> wanted = new LinkedHashSet<>(buckets);
    return context.retry(
        true,
        () -> {
          Map<Node, List<Integer>> groups = new HashMap<>();
          for (int bucket : wanted) {
            Node leader = context.cluster().leader(table, bucket);
            if (leader == null) {
              return CompletableFuture.failedFuture(ClientContext.noLeader(table, bucket));
            }
            groups.computeIfAbsent(leader, node -> new ArrayList<>()).add(bucket);
          }
          CompletableFuture<Map<Integer, Long>> result =
              CompletableFuture.completedFuture(new HashMap<>());
          for (Map.Entry<Node, List<Integer>> group : groups.entrySet()) {
            result =
                result.thenCombine(
                    call.apply(group.getKey(), group.getValue()),
                    (left, right) -> {
                      left.putAll(right);
                      return left;
                    });
          }
          return result.thenApply(
              offsets -> {
                if (!offsets.keySet().containsAll(wanted)) {
                  throw new FlussException(
                      ErrorCode.CORRUPT_MESSAGE,
                      "the response of the server lacks buckets of " + table.path());
                }
                return offsets;
              });
        },
        () -> context.cluster().refresh(table));
  }
}
