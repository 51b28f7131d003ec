package io.fluss.client.rpc;

import io.fluss.client.ApiKey;
import io.fluss.client.ErrorCode;
import io.fluss.client.FlussException;
import io.fluss.client.PartitionInfo;
import io.fluss.client.TableInfo;
import io.fluss.client.TablePath;
import io.fluss.rpc.proto.GetTableInfoRequest;
import io.fluss.rpc.proto.GetTableInfoResponse;
import io.fluss.rpc.proto.MetadataRequest;
import io.fluss.rpc.proto.MetadataResponse;
import io.fluss.rpc.proto.PbBucketMetadata;
import io.fluss.rpc.proto.PbPartitionMetadata;
import io.fluss.rpc.proto.PbPhysicalTablePath;
import io.fluss.rpc.proto.PbServerNode;
import io.fluss.rpc.proto.PbTableMetadata;
import io.fluss.rpc.proto.PbTablePath;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import javax.annotation.Nullable;

/**
 * What is known of the cluster: its servers and the leaders of the buckets of tables in use. Kept
 * until somebody finds it stale and refreshes it. Thread-safe.
 */
public final class Cluster {
  private final NetworkClient network;
  private final List<Node> bootstrap;
  private final AtomicInteger nextServer = new AtomicInteger();
  private final Map<Place, Leaders> leaders = new ConcurrentHashMap<>();
  private final Map<Object, CompletableFuture<Void>> refreshing = new HashMap<>();
  private volatile Servers servers = new Servers(null, Collections.emptyMap());

  private static final class Servers {
    private final Node coordinator;
    private final Map<Integer, Node> tablets;

    Servers(Node coordinator, Map<Integer, Node> tablets) {
      this.coordinator = coordinator;
      this.tablets = tablets;
    }
  }

  /** What has buckets: a table, or a partition by its name. */
  private static final class Place {
    private final TablePath path;
    @Nullable private final String partition;

    Place(TablePath path, @Nullable String partition) {
      this.path = path;
      this.partition = partition;
    }

    static Place of(TableInfo table) {
      PartitionInfo partition = table.partition();
      return new Place(table.path(), partition == null ? null : partition.name());
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof Place
          && path.equals(((Place) other).path)
          && Objects.equals(partition, ((Place) other).partition);
    }

    @Override
    public int hashCode() {
      return Objects.hash(path, partition);
    }

    @Override
    public String toString() {
      return partition == null ? path.toString() : "partition " + partition + " of " + path;
    }
  }

  private static final class Leaders {
    private final long tableId;

    /** -1 for a table. */
    private final long partitionId;

    /** Node by bucket; null while there is no leader. */
    private final Node[] nodes;

    Leaders(long tableId, long partitionId, Node[] nodes) {
      this.tableId = tableId;
      this.partitionId = partitionId;
      this.nodes = nodes;
    }
  }

  public Cluster(NetworkClient network, List<Node> bootstrap) {
    this.network = network;
    this.bootstrap = bootstrap;
  }

  /** The coordinator, or null while none is known. */
  public Node coordinator() {
    return servers.coordinator;
  }

  /** A tablet server, another one each time, or null while none is known. */
  public Node anyTablet() {
    List<Node> nodes = new ArrayList<>(servers.tablets.values());
    return nodes.isEmpty()
        ? null
        : nodes.get(Math.floorMod(nextServer.getAndIncrement(), nodes.size()));
  }

  /**
   * The leader of a bucket as far as is known, or null: then {@link #refresh}.
   *
   * @param table a table without partitions, or only one partition
   * @throws FlussException TABLE_NOT_EXIST or PARTITION_NOT_EXISTS when the name now belongs to
   *     another table or partition
   */
  public Node leader(TableInfo table, int bucket) {
    Leaders known = leaders.get(Place.of(table));
    if (known == null) {
      return null;
    }
    if (known.tableId != table.tableId()) {
      throw new FlussException(
          ErrorCode.TABLE_NOT_EXIST,
          table.path() + " was dropped and created again while it was in use");
    }
    if (table.partition() != null && known.partitionId != table.partition().id()) {
      throw new FlussException(
          ErrorCode.PARTITION_NOT_EXISTS,
          Place.of(table) + " was dropped and created again while it was in use");
    }
    return bucket < known.nodes.length ? known.nodes[bucket] : null;
  }

  /**
   * A partition by its name; fails with PARTITION_NOT_EXISTS. Asks the server only for partitions
   * that are not known yet.
   */
  public CompletableFuture<PartitionInfo> partition(TableInfo table, String name) {
    Place place = new Place(table.path(), name);
    Leaders known = leaders.get(place);
    if (known != null && known.tableId == table.tableId()) {
      return CompletableFuture.completedFuture(new PartitionInfo(known.partitionId, name));
    }
    return refreshPlace(place)
        .thenApply(
            nothing -> {
              Leaders found = leaders.get(place);
              if (found == null || found.tableId != table.tableId()) {
                throw new FlussException(ErrorCode.PARTITION_NOT_EXISTS, place + " does not exist");
              }
              return new PartitionInfo(found.partitionId, name);
            });
  }

  /**
   * Requests the servers and, unless {@code table} is null, for the leaders of a table or
   * partition. Askers at the same time share one request. Fails with TABLE_NOT_EXIST when there is
   * no such table, with PARTITION_NOT_EXISTS when there is no such partition.
   */
  public CompletableFuture<Void> refresh(@Nullable TableInfo table) {
    return refreshPlace(table == null ? null : Place.of(table));
  }

  private CompletableFuture<Void> refreshPlace(@Nullable Place place) {
    Object key = place == null ? "" : place;
    CompletableFuture<Void> result;
    synchronized (refreshing) {
      CompletableFuture<Void> running = refreshing.get(key);
      if (running != null) {
        return running;
      }
      result = new CompletableFuture<>();
      refreshing.put(key, result);
    }
    ask(place, candidates(), 0)
        .whenComplete(
            (nothing, error) -> {
              synchronized (refreshing) {
                refreshing.remove(key);
              }
              if (error == null) {
                result.complete(null);
              } else {
                FlussException cause = Errors.unwrap(error);
                if (place != null && cause.code() == ErrorCode.PARTITION_NOT_EXISTS) {
                  leaders.remove(place);
                }
                result.completeExceptionally(cause);
              }
            });
    return result;
  }

  /**
   * Every server that can return metadata, in the order in which to try them: the tablet servers,
   * another one first each time, the coordinator, the bootstrap servers. Never empty.
   */
  List<Node> candidates() {
    Servers known = servers;
    List<Node> tablets = new ArrayList<>(known.tablets.values());
    if (!tablets.isEmpty()) {
      Collections.rotate(tablets, nextServer.getAndIncrement());
    }
    Set<Node> result = new LinkedHashSet<>(tablets);
    if (known.coordinator != null) {
      result.add(known.coordinator);
    }
    result.addAll(bootstrap);
    return new ArrayList<>(result);
  }

  private CompletableFuture<Void> ask(@Nullable Place place, List<Node> candidates, int index) {
    Node node = candidates.get(index);
    MetadataRequest.Builder request = MetadataRequest.newBuilder();
    if (place != null) {
      request.addTablePath(toProto(place.path));
      if (place.partition != null) {
        request.addPartitionsPath(
            PbPhysicalTablePath.newBuilder()
                .setDatabaseName(place.path.database())
                .setTableName(place.path.table())
                .setPartitionName(place.partition));
      }
    }
    return network
        .call(node, ApiKey.GET_METADATA, request.build(), MetadataResponse.parser())
        .handle(
            (response, error) -> {
              if (error == null) {
                apply(response, place);
                return CompletableFuture.<Void>completedFuture(null);
              }
              FlussException cause = Errors.unwrap(error);
              if (cause.retriable() && index + 1 < candidates.size()) {
                return ask(place, candidates, index + 1);
              }
              if (cause.code() == ErrorCode.UNKNOWN_SERVER_ERROR && place != null) {
                // Official servers respond so for a table that does not exist.
                return confirmTable(node, place.path, cause);
              }
              return CompletableFuture.<Void>failedFuture(cause);
            })
        .thenCompose(next -> next);
  }

  private CompletableFuture<Void> confirmTable(Node node, TablePath path, FlussException cause) {
    GetTableInfoRequest request =
        GetTableInfoRequest.newBuilder().setTablePath(toProto(path)).build();
    return network
        .call(node, ApiKey.GET_TABLE_INFO, request, GetTableInfoResponse.parser())
        .handle(
            (response, error) -> {
              throw error == null ? cause : Errors.unwrap(error);
            });
  }

  private void apply(MetadataResponse response, @Nullable Place place) {
    Map<Integer, Node> tablets = new HashMap<>();
    for (PbServerNode server : response.getTabletServersList()) {
      tablets.put(server.getNodeId(), new Node(server.getHost(), server.getPort()));
    }
    Node coordinator =
        response.hasCoordinatorServer()
            ? new Node(
                response.getCoordinatorServer().getHost(),
                response.getCoordinatorServer().getPort())
            : null;
    servers = new Servers(coordinator, tablets);
    if (place == null) {
      return;
    }
    boolean found = false;
    for (PbTableMetadata table : response.getTableMetadataList()) {
      Place described =
          new Place(
              new TablePath(
                  table.getTablePath().getDatabaseName(), table.getTablePath().getTableName()),
              null);
      Node[] nodes = leadersOf(table.getBucketMetadataList(), tablets);
      leaders.put(described, new Leaders(table.getTableId(), -1, nodes));
      found |= described.path.equals(place.path);
    }
    if (!found) {
      leaders.remove(place);
      throw new FlussException(
          ErrorCode.TABLE_NOT_EXIST,
          place.path + " does not exist, or is not visible to this user");
    }
    for (PbPartitionMetadata partition : response.getPartitionMetadataList()) {
      leaders.put(
          new Place(place.path, partition.getPartitionName()),
          new Leaders(
              partition.getTableId(),
              partition.getPartitionId(),
              leadersOf(partition.getBucketMetadataList(), tablets)));
    }
  }

  private static Node[] leadersOf(List<PbBucketMetadata> buckets, Map<Integer, Node> tablets) {
    int count = 0;
    for (PbBucketMetadata bucket : buckets) {
      count = Math.max(count, bucket.getBucketId() + 1);
    }
    Node[] nodes = new Node[count];
    for (PbBucketMetadata bucket : buckets) {
      nodes[bucket.getBucketId()] = bucket.hasLeaderId() ? tablets.get(bucket.getLeaderId()) : null;
    }
    return nodes;
  }

  public static PbTablePath toProto(TablePath path) {
    return PbTablePath.newBuilder()
        .setDatabaseName(path.database())
        .setTableName(path.table())
        .build();
  }
}
