package io.fluss.client.rpc;

import io.fluss.client.ApiKey;
import io.fluss.client.ErrorCode;
import io.fluss.client.FlussException;
import io.fluss.client.TableInfo;
import io.fluss.client.TablePath;
import io.fluss.rpc.proto.GetTableInfoRequest;
import io.fluss.rpc.proto.GetTableInfoResponse;
import io.fluss.rpc.proto.MetadataRequest;
import io.fluss.rpc.proto.MetadataResponse;
import io.fluss.rpc.proto.PbBucketMetadata;
import io.fluss.rpc.proto.PbServerNode;
import io.fluss.rpc.proto.PbTableMetadata;
import io.fluss.rpc.proto.PbTablePath;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * What is known of the cluster: its servers and the leaders of the buckets of tables in use. Kept
 * until somebody finds it stale and refreshes it. Thread-safe.
 */
public final class Cluster {
  private final NetworkClient network;
  private final List<Node> bootstrap;
  private final AtomicInteger turn = new AtomicInteger();
  private final Map<TablePath, Leaders> leaders = new ConcurrentHashMap<>();
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

  private static final class Leaders {
    private final long tableId;

    /** Node by bucket; null while there is no leader. */
    private final Node[] nodes;

    Leaders(long tableId, Node[] nodes) {
      this.tableId = tableId;
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
    return nodes.isEmpty() ? null : nodes.get(Math.floorMod(turn.getAndIncrement(), nodes.size()));
  }

  /**
   * The leader of a bucket as far as is known, or null: then {@link #refresh}.
   *
   * @throws FlussException TABLE_NOT_EXIST when the name now belongs to another table
   */
  public Node leader(TableInfo table, int bucket) {
    Leaders known = leaders.get(table.path());
    if (known == null) {
      return null;
    }
    if (known.tableId != table.tableId()) {
      throw new FlussException(
          ErrorCode.TABLE_NOT_EXIST,
          table.path() + " was dropped and created again while it was in use");
    }
    return bucket < known.nodes.length ? known.nodes[bucket] : null;
  }

  /**
   * Asks for the servers and, unless {@code path} is null, for the leaders of a table. Askers at
   * the same time share one request. Fails with TABLE_NOT_EXIST when there is no such table.
   */
  public CompletableFuture<Void> refresh(TablePath path) {
    Object key = path == null ? "" : path;
    CompletableFuture<Void> result;
    synchronized (refreshing) {
      CompletableFuture<Void> running = refreshing.get(key);
      if (running != null) {
        return running;
      }
      result = new CompletableFuture<>();
      refreshing.put(key, result);
    }
    ask(path, candidates(), 0)
        .whenComplete(
            (nothing, error) -> {
              synchronized (refreshing) {
                refreshing.remove(key);
              }
              if (error == null) {
                result.complete(null);
              } else {
                result.completeExceptionally(Errors.unwrap(error));
              }
            });
    return result;
  }

  /** Known servers in turn, then the bootstrap servers. */
  private List<Node> candidates() {
    Servers known = servers;
    List<Node> tablets = new ArrayList<>(known.tablets.values());
    if (!tablets.isEmpty()) {
      Collections.rotate(tablets, turn.getAndIncrement());
    }
    Set<Node> result = new LinkedHashSet<>(tablets);
    if (known.coordinator != null) {
      result.add(known.coordinator);
    }
    result.addAll(bootstrap);
    return new ArrayList<>(result);
  }

  private CompletableFuture<Void> ask(TablePath path, List<Node> candidates, int index) {
    Node node = candidates.get(index);
    MetadataRequest.Builder request = MetadataRequest.newBuilder();
    if (path != null) {
      request.addTablePath(toProto(path));
    }
    return network
        .call(node, ApiKey.GET_METADATA, request.build(), MetadataResponse.parser())
        .handle(
            (answer, error) -> {
              if (error == null) {
                apply(answer, path);
                return CompletableFuture.<Void>completedFuture(null);
              }
              FlussException cause = Errors.unwrap(error);
              if (cause.retriable() && index + 1 < candidates.size()) {
                return ask(path, candidates, index + 1);
              }
              if (cause.code() == ErrorCode.UNKNOWN_SERVER_ERROR && path != null) {
                // Official servers answer so for a table that does not exist.
                return confirmTable(node, path, cause);
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
            (answer, error) -> {
              throw error == null ? cause : Errors.unwrap(error);
            });
  }

  private void apply(MetadataResponse answer, TablePath path) {
    Map<Integer, Node> tablets = new HashMap<>();
    for (PbServerNode server : answer.getTabletServersList()) {
      tablets.put(server.getNodeId(), new Node(server.getHost(), server.getPort()));
    }
    Node coordinator =
        answer.hasCoordinatorServer()
            ? new Node(
                answer.getCoordinatorServer().getHost(), answer.getCoordinatorServer().getPort())
            : null;
    servers = new Servers(coordinator, tablets);
    boolean found = path == null;
    for (PbTableMetadata table : answer.getTableMetadataList()) {
      int buckets = 0;
      for (PbBucketMetadata bucket : table.getBucketMetadataList()) {
        buckets = Math.max(buckets, bucket.getBucketId() + 1);
      }
      Node[] nodes = new Node[buckets];
      for (PbBucketMetadata bucket : table.getBucketMetadataList()) {
        nodes[bucket.getBucketId()] =
            bucket.hasLeaderId() ? tablets.get(bucket.getLeaderId()) : null;
      }
      TablePath name =
          new TablePath(
              table.getTablePath().getDatabaseName(), table.getTablePath().getTableName());
      leaders.put(name, new Leaders(table.getTableId(), nodes));
      found |= name.equals(path);
    }
    if (!found) {
      leaders.remove(path);
      throw new FlussException(
          ErrorCode.TABLE_NOT_EXIST, path + " does not exist, or is not visible to this user");
    }
  }

  public static PbTablePath toProto(TablePath path) {
    return PbTablePath.newBuilder()
        .setDatabaseName(path.database())
        .setTableName(path.table())
        .build();
  }
}
