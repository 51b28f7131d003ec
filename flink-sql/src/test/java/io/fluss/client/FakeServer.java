package io.fluss.client;

import com.google.protobuf.ByteString;
import com.google.protobuf.MessageLite;
import io.fluss.client.log.LogBatchHeader;
import io.fluss.client.row.Bytes;
import io.fluss.rpc.proto.ApiVersionsResponse;
import io.fluss.rpc.proto.AuthenticateRequest;
import io.fluss.rpc.proto.AuthenticateResponse;
import io.fluss.rpc.proto.CreateTableResponse;
import io.fluss.rpc.proto.ErrorResponse;
import io.fluss.rpc.proto.FetchLogRequest;
import io.fluss.rpc.proto.FetchLogResponse;
import io.fluss.rpc.proto.GetTableInfoResponse;
import io.fluss.rpc.proto.InitWriterResponse;
import io.fluss.rpc.proto.LookupRequest;
import io.fluss.rpc.proto.LookupResponse;
import io.fluss.rpc.proto.MetadataRequest;
import io.fluss.rpc.proto.MetadataResponse;
import io.fluss.rpc.proto.PbApiVersion;
import io.fluss.rpc.proto.PbBucketMetadata;
import io.fluss.rpc.proto.PbFetchLogReqForBucket;
import io.fluss.rpc.proto.PbFetchLogRespForBucket;
import io.fluss.rpc.proto.PbFetchLogRespForTable;
import io.fluss.rpc.proto.PbLookupReqForBucket;
import io.fluss.rpc.proto.PbLookupRespForBucket;
import io.fluss.rpc.proto.PbProduceLogReqForBucket;
import io.fluss.rpc.proto.PbProduceLogRespForBucket;
import io.fluss.rpc.proto.PbServerNode;
import io.fluss.rpc.proto.PbTableMetadata;
import io.fluss.rpc.proto.PbValue;
import io.fluss.rpc.proto.ProduceLogRequest;
import io.fluss.rpc.proto.ProduceLogResponse;
import io.fluss.rpc.proto.ScanKvResponse;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * A server with one table in memory that does what a test tells it: before a request is carried out
 * and after it, {@link Faults} may let it fail, leave it unanswered, or break the connection. Log
 * writes are checked like on a real server: sequence numbers without gaps, repetitions of the last
 * five batches acknowledged but not stored. It refuses column projection, as real servers do for
 * batches that lack a projected column.
 */
final class FakeServer implements AutoCloseable {
  /** What happens to a request. */
  interface Faults {
    /**
     * Null: carry on. A positive number: respond with this error. 0: no response. -1: break the
     * connection.
     */
    Integer before(ApiKey key, int request);

    /** The same, after the request was carried out. */
    default Integer after(ApiKey key, int request) {
      return null;
    }
  }

  static final Integer NO_ANSWER = 0;
  static final Integer BREAK = -1;

  /** The number of an error, for {@link Faults}. */
  static Integer error(ErrorCode code) {
    return code.number();
  }

  private static final Map<Short, ApiKey> KEYS = new HashMap<>();

  static {
    for (ApiKey key : ApiKey.values()) {
      KEYS.put(key.key(), key);
    }
  }

  /** The log of one bucket. */
  private static final class Bucket {
    private final List<byte[]> batches = new ArrayList<>();
    private final Map<Long, List<Integer>> sequences = new HashMap<>();
    private long endOffset;
  }

  final TableInfo table;
  final Map<ApiKey, AtomicInteger> counts = new ConcurrentHashMap<>();
  final Set<ApiKey> unsupported = ConcurrentHashMap.newKeySet();
  final Map<String, byte[]> values = new ConcurrentHashMap<>();
  final List<String> tokens = new CopyOnWriteArrayList<>();
  volatile Faults faults = (key, request) -> null;

  /** Records that every bucket has and no fetch returns, as if others had filled the response. */
  volatile long hiddenRecords;

  /** Port of the coordinator that the metadata names; 0: this server is it. -1: there is none. */
  volatile int coordinatorPort;

  private final ServerSocket listener;
  private final Bucket[] buckets;
  private final Set<Socket> sockets = ConcurrentHashMap.newKeySet();
  private final AtomicInteger writerIds = new AtomicInteger(100);
  private final TableDescriptor descriptor;

  FakeServer(TableDescriptor descriptor) throws IOException {
    this.descriptor = descriptor;
    this.table = new TableInfo(TablePath.of("db", "t"), 7, 1, descriptor, 0, 0);
    this.buckets = new Bucket[table.bucketCount()];
    for (int i = 0; i < buckets.length; i++) {
      buckets[i] = new Bucket();
    }
    this.listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    start(this::acceptAll);
  }

  String address() {
    return "127.0.0.1:" + listener.getLocalPort();
  }

  int count(ApiKey key) {
    return counts.getOrDefault(key, new AtomicInteger()).get();
  }

  /** Forgets all writers, as after a loss of their state. */
  synchronized void forgetWriters() {
    for (Bucket bucket : buckets) {
      bucket.sequences.clear();
    }
  }

  /** Stored batches of a bucket. */
  synchronized List<byte[]> batches(int bucket) {
    return new ArrayList<>(buckets[bucket].batches);
  }

  void breakConnections() {
    sockets.forEach(FakeServer::closeQuietly);
  }

  private static void start(Runnable task) {
    Thread thread = new Thread(task, "fake-server");
    thread.setDaemon(true);
    thread.start();
  }

  private void acceptAll() {
    while (!listener.isClosed()) {
      try {
        Socket socket = listener.accept();
        sockets.add(socket);
        start(() -> serve(socket));
      } catch (IOException e) {
        return;
      }
    }
  }

  private void serve(Socket socket) {
    try (DataInputStream in = new DataInputStream(socket.getInputStream());
        DataOutputStream out = new DataOutputStream(socket.getOutputStream())) {
      while (true) {
        int length = in.readInt();
        ApiKey key = KEYS.get(in.readShort());
        in.readShort();
        int id = in.readInt();
        byte[] body = new byte[length - 8];
        in.readFully(body);
        int request = counts.computeIfAbsent(key, k -> new AtomicInteger()).getAndIncrement();
        Integer fault = faults.before(key, request);
        MessageLite response = null;
        if (fault == null) {
          response = handle(key, body);
          fault = faults.after(key, request);
        }
        if (fault != null && fault.equals(BREAK)) {
          return;
        }
        if (fault != null && fault.equals(NO_ANSWER)) {
          continue;
        }
        if (fault != null) {
          response =
              ErrorResponse.newBuilder().setErrorCode(fault).setErrorMessage("fault").build();
        }
        byte[] bytes = response.toByteArray();
        byte[] frame = new byte[9 + bytes.length];
        java.nio.ByteBuffer.wrap(frame)
            .putInt(5 + bytes.length)
            .put((byte) (fault == null ? 0 : 1))
            .putInt(id)
            .put(bytes);
        out.write(frame);
        out.flush();
      }
    } catch (IOException e) {
      // The client or the test closed the connection.
    } finally {
      sockets.remove(socket);
      closeQuietly(socket);
    }
  }

  private static void closeQuietly(Socket socket) {
    try {
      socket.close();
    } catch (IOException e) {
      throw new AssertionError(e);
    }
  }

  private synchronized MessageLite handle(ApiKey key, byte[] body) throws IOException {
    switch (key) {
      case API_VERSIONS:
        ApiVersionsResponse.Builder versions = ApiVersionsResponse.newBuilder();
        for (ApiKey api : ApiKey.values()) {
          if (!unsupported.contains(api)) {
            versions.addApiVersions(
                PbApiVersion.newBuilder().setApiKey(api.key()).setMinVersion(0).setMaxVersion(9));
          }
        }
        return versions.build();
      case AUTHENTICATE:
        tokens.add(AuthenticateRequest.parseFrom(body).getToken().toStringUtf8());
        return AuthenticateResponse.newBuilder().setChallenge(ByteString.EMPTY).build();
      case GET_METADATA:
        return metadata(MetadataRequest.parseFrom(body));
      case GET_TABLE_INFO:
        return GetTableInfoResponse.newBuilder()
            .setTableId(table.tableId())
            .setSchemaId(table.schemaId())
            .setTableJson(ByteString.copyFromUtf8(descriptor.toJson()))
            .setCreatedTime(0)
            .setModifiedTime(0)
            .build();
      case CREATE_TABLE:
        return CreateTableResponse.getDefaultInstance();
      case INIT_WRITER:
        return InitWriterResponse.newBuilder().setWriterId(writerIds.getAndIncrement()).build();
      case PRODUCE_LOG:
        return produce(ProduceLogRequest.parseFrom(body));
      case FETCH_LOG:
        return fetch(FetchLogRequest.parseFrom(body));
      case SCAN_KV:
        return ScanKvResponse.newBuilder()
            .setScannerId(ByteString.copyFromUtf8("scan"))
            .setLogOffset(0)
            .setHasMoreResults(false)
            .build();
      case LOOKUP:
        return lookup(LookupRequest.parseFrom(body));
      default:
        throw new AssertionError(key);
    }
  }

  private MetadataResponse metadata(MetadataRequest request) {
    PbServerNode node =
        PbServerNode.newBuilder()
            .setNodeId(0)
            .setHost("127.0.0.1")
            .setPort(listener.getLocalPort())
            .build();
    MetadataResponse.Builder response = MetadataResponse.newBuilder().addTabletServers(node);
    if (coordinatorPort >= 0) {
      response.setCoordinatorServer(
          coordinatorPort == 0 ? node : node.toBuilder().setPort(coordinatorPort).build());
    }
    if (request.getTablePathCount() > 0) {
      PbTableMetadata.Builder metadata =
          PbTableMetadata.newBuilder()
              .setTablePath(request.getTablePath(0))
              .setTableId(table.tableId())
              .setSchemaId(1)
              .setTableJson(ByteString.copyFromUtf8(descriptor.toJson()))
              .setCreatedTime(0)
              .setModifiedTime(0);
      for (int bucket = 0; bucket < buckets.length; bucket++) {
        metadata.addBucketMetadata(
            PbBucketMetadata.newBuilder().setBucketId(bucket).setLeaderId(0));
      }
      response.addTableMetadata(metadata);
    }
    return response.build();
  }

  private ProduceLogResponse produce(ProduceLogRequest request) {
    ProduceLogResponse.Builder response = ProduceLogResponse.newBuilder();
    for (PbProduceLogReqForBucket entry : request.getBucketsReqList()) {
      Bucket bucket = buckets[entry.getBucketId()];
      byte[] batch = entry.getRecords().toByteArray();
      LogBatchHeader header = LogBatchHeader.parse(batch, 0, batch.length);
      PbProduceLogRespForBucket.Builder result =
          PbProduceLogRespForBucket.newBuilder().setBucketId(entry.getBucketId());
      if (header == null || !header.crcMatches()) {
        throw new AssertionError("a damaged batch was sent");
      }
      List<Integer> known =
          bucket.sequences.computeIfAbsent(header.writerId(), id -> new ArrayList<>());
      int expected = known.isEmpty() ? 0 : known.get(known.size() - 1) + 1;
      boolean repeated =
          known
              .subList(Math.max(0, known.size() - 5), known.size())
              .contains(header.batchSequence());
      if (!repeated && header.batchSequence() != expected) {
        result.setErrorCode(ErrorCode.OUT_OF_ORDER_SEQUENCE_EXCEPTION.number());
      } else if (!repeated) {
        known.add(header.batchSequence());
        Bytes.putLong(batch, 0, bucket.endOffset);
        bucket.batches.add(batch);
        bucket.endOffset = LogBatchHeader.parse(batch, 0, batch.length).nextOffset();
      }
      response.addBucketsResp(result);
    }
    return response.build();
  }

  private FetchLogResponse fetch(FetchLogRequest request) {
    PbFetchLogRespForTable.Builder response =
        PbFetchLogRespForTable.newBuilder().setTableId(table.tableId());
    for (PbFetchLogReqForBucket entry : request.getTablesReq(0).getBucketsReqList()) {
      Bucket bucket = buckets[entry.getBucketId()];
      if (request.getTablesReq(0).getProjectionPushdownEnabled()) {
        response.addBucketsResp(
            PbFetchLogRespForBucket.newBuilder()
                .setBucketId(entry.getBucketId())
                .setErrorCode(ErrorCode.INVALID_COLUMN_PROJECTION.number()));
        continue;
      }
      ByteString records = ByteString.EMPTY;
      for (byte[] batch : bucket.batches) {
        if (LogBatchHeader.parse(batch, 0, batch.length).nextOffset()
            > Math.max(0, entry.getFetchOffset())) {
          records = ByteString.copyFrom(batch);
          break;
        }
      }
      response.addBucketsResp(
          PbFetchLogRespForBucket.newBuilder()
              .setBucketId(entry.getBucketId())
              .setHighWatermark(bucket.endOffset + hiddenRecords)
              .setRecords(records));
    }
    return FetchLogResponse.newBuilder().addTablesResp(response).build();
  }

  private LookupResponse lookup(LookupRequest request) {
    LookupResponse.Builder response = LookupResponse.newBuilder();
    for (PbLookupReqForBucket entry : request.getBucketsReqList()) {
      PbLookupRespForBucket.Builder bucket =
          PbLookupRespForBucket.newBuilder().setBucketId(entry.getBucketId());
      for (ByteString key : entry.getKeysList()) {
        byte[] value = values.get(Vectors.hex(key.toByteArray()));
        bucket.addValues(
            value == null
                ? PbValue.getDefaultInstance()
                : PbValue.newBuilder().setValues(ByteString.copyFrom(value)).build());
      }
      response.addBucketsResp(bucket);
    }
    return response.build();
  }

  @Override
  public void close() throws IOException {
    listener.close();
    breakConnections();
  }
}
