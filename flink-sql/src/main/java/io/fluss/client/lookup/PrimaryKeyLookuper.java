package io.fluss.client.lookup;

import com.google.protobuf.UnsafeByteOperations;
import io.fluss.client.ApiKey;
import io.fluss.client.ErrorCode;
import io.fluss.client.FlussException;
import io.fluss.client.Lookuper;
import io.fluss.client.TableBucket;
import io.fluss.client.TableInfo;
import io.fluss.client.rpc.ClientContext;
import io.fluss.client.rpc.Errors;
import io.fluss.client.rpc.Node;
import io.fluss.client.rpc.RawBytes;
import io.fluss.rpc.proto.LookupRequest;
import io.fluss.rpc.proto.LookupResponse;
import io.fluss.rpc.proto.PbLookupReqForBucket;
import io.fluss.rpc.proto.PbLookupRespForBucket;
import io.fluss.rpc.proto.PbValue;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.apache.flink.table.data.RowData;

/** Lookups by primary key on LOOKUP. */
public final class PrimaryKeyLookuper implements Lookuper {
  private final PartitionRouter partitions;
  private final KeyRouter router;
  private final ValueDecoder decoder;
  private final LookupQueue<RawBytes> queue;

  public PrimaryKeyLookuper(ClientContext context, TableInfo table) {
    this.partitions = new PartitionRouter(context, table, table.primaryKey());
    this.router =
        new KeyRouter(table, table.physicalPrimaryKey(), table.bucketKey(), table.bucketCount());
    this.decoder = new ValueDecoder(context, table);
    this.queue = new Queue(context, table);
  }

  @Override
  public CompletableFuture<RowData> lookup(RowData keyRow) {
    return partitions.route(keyRow, null, this::lookup);
  }

  private CompletableFuture<RowData> lookup(TableInfo place, RowData key) {
    return router
        .route(key, (bytes, bucket) -> queue.add(place, bytes, bucket))
        .thenCompose(
            value -> {
              if (value == null) {
                return CompletableFuture.completedFuture(null);
              }
              int schemaId = ValueDecoder.schemaId(value);
              return decoder.knows(schemaId)
                  ? CompletableFuture.completedFuture(decoder.decode(value))
                  : decoder.learn(schemaId).thenApply(nothing -> decoder.decode(value));
            });
  }

  @Override
  public void close() {
    queue.close();
  }

  private static final class Queue extends LookupQueue<RawBytes> {
    private final ClientContext context;
    private final TableInfo table;

    Queue(ClientContext context, TableInfo table) {
      super(context);
      this.context = context;
      this.table = table;
    }

    @Override
    CompletableFuture<Void> send(Node leader, Map<TableBucket, Group<RawBytes>> groups) {
      LookupRequest.Builder request = LookupRequest.newBuilder().setTableId(table.tableId());
      for (Group<RawBytes> group : groups.values()) {
        PbLookupReqForBucket.Builder bucket =
            PbLookupReqForBucket.newBuilder().setBucketId(group.bucket.bucket());
        if (group.bucket.partition() != null) {
          bucket.setPartitionId(group.bucket.partition().id());
        }
        for (Pending<RawBytes> pending : group.keys) {
          bucket.addKeys(UnsafeByteOperations.unsafeWrap(pending.key));
        }
        request.addBucketsReq(bucket);
      }
      return context
          .network()
          .call(leader, ApiKey.LOOKUP, request.build(), LookupResponse.parser())
          .thenAccept(
              response -> response.getBucketsRespList().forEach(bucket -> accept(groups, bucket)));
    }

    private static void accept(
        Map<TableBucket, Group<RawBytes>> groups, PbLookupRespForBucket response) {
      Group<RawBytes> group =
          groups.get(
              TableBucket.ofResponse(
                  response.hasPartitionId(), response.getPartitionId(), response.getBucketId()));
      if (group == null) {
        return;
      }
      if (response.getErrorCode() != 0) {
        group.error = Errors.toException(response.getErrorCode(), response.getErrorMessage());
        return;
      }
      checkCount(group, response.getValuesCount());
      List<RawBytes> results = new ArrayList<>(response.getValuesCount());
      for (PbValue value : response.getValuesList()) {
        results.add(value.hasValues() ? RawBytes.copyOf(value.getValues()) : null);
      }
      group.results = results;
    }
  }

  static void checkCount(LookupQueue.Group<?> group, int count) {
    if (count != group.keys.size()) {
      throw new FlussException(
          ErrorCode.UNKNOWN_SERVER_ERROR,
          "the server returned " + count + " of " + group.keys.size() + " keys");
    }
  }
}
