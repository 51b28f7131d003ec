package io.fluss.client.lookup;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import io.fluss.client.ApiKey;
import io.fluss.client.PrefixLookuper;
import io.fluss.client.TableBucket;
import io.fluss.client.TableInfo;
import io.fluss.client.rpc.ClientContext;
import io.fluss.client.rpc.Errors;
import io.fluss.client.rpc.Node;
import io.fluss.client.rpc.RawBytes;
import io.fluss.rpc.proto.PbPrefixLookupReqForBucket;
import io.fluss.rpc.proto.PbPrefixLookupRespForBucket;
import io.fluss.rpc.proto.PbValueList;
import io.fluss.rpc.proto.PrefixLookupRequest;
import io.fluss.rpc.proto.PrefixLookupResponse;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import org.apache.flink.table.data.RowData;

/** Lookups by bucket key on PREFIX_LOOKUP. */
public final class BucketKeyLookuper implements PrefixLookuper {
  private final PartitionRouter partitions;
  private final KeyRouter router;
  private final ValueDecoder decoder;
  private final LookupQueue<List<RawBytes>> queue;

  /**
   * @throws IllegalArgumentException when the bucket key is not the leading part of the primary key
   */
  public BucketKeyLookuper(ClientContext context, TableInfo table) {
    List<String> primaryKey = table.physicalPrimaryKey();
    List<String> bucketKey = table.bucketKey();
    if (bucketKey.size() >= primaryKey.size()
        || !primaryKey.subList(0, bucketKey.size()).equals(bucketKey)) {
      throw new IllegalArgumentException(
          "Prefix lookup needs a bucket key that is the first part of the primary key; "
              + table.path()
              + " has bucket key "
              + bucketKey
              + " and primary key "
              + primaryKey);
    }
    this.partitions = new PartitionRouter(context, table, table.prefixKey());
    this.router = new KeyRouter(table, bucketKey, bucketKey, table.bucketCount());
    this.decoder = new ValueDecoder(context, table);
    this.queue = new Queue(context, table);
  }

  @Override
  public CompletableFuture<List<RowData>> lookup(RowData bucketKeyRow) {
    return partitions.route(
        bucketKeyRow,
        Collections.emptyList(),
        (place, key) ->
            router
                .route(key, (bytes, bucket) -> queue.add(place, bytes, bucket))
                .thenCompose(this::decode));
  }

  private CompletableFuture<List<RowData>> decode(List<RawBytes> values) {
    Set<Integer> unknown = new LinkedHashSet<>();
    for (RawBytes value : values) {
      int schemaId = ValueDecoder.schemaId(value);
      if (!decoder.knows(schemaId)) {
        unknown.add(schemaId);
      }
    }
    CompletableFuture<Void> ready = CompletableFuture.completedFuture(null);
    for (int schemaId : unknown) {
      ready = ready.thenCombine(decoder.learn(schemaId), (left, right) -> null);
    }
    return ready.thenApply(
        nothing -> {
          List<RowData> rows = new ArrayList<>(values.size());
          values.forEach(value -> rows.add(decoder.decode(value)));
          return rows;
        });
  }

  @Override
  public void close() {
    queue.close();
  }

  private static final class Queue extends LookupQueue<List<RawBytes>> {
    private final ClientContext context;
    private final TableInfo table;

    Queue(ClientContext context, TableInfo table) {
      super(context);
      this.context = context;
      this.table = table;
    }

    @Override
    CompletableFuture<Void> send(Node leader, Map<TableBucket, Group<List<RawBytes>>> groups) {
      PrefixLookupRequest.Builder request =
          PrefixLookupRequest.newBuilder().setTableId(table.tableId());
      for (Group<List<RawBytes>> group : groups.values()) {
        PbPrefixLookupReqForBucket.Builder bucket =
            PbPrefixLookupReqForBucket.newBuilder().setBucketId(group.bucket.bucket());
        if (group.bucket.partition() != null) {
          bucket.setPartitionId(group.bucket.partition().id());
        }
        for (Pending<List<RawBytes>> pending : group.keys) {
          bucket.addKeys(UnsafeByteOperations.unsafeWrap(pending.key));
        }
        request.addBucketsReq(bucket);
      }
      return context
          .network()
          .call(leader, ApiKey.PREFIX_LOOKUP, request.build(), PrefixLookupResponse.parser())
          .thenAccept(
              response -> response.getBucketsRespList().forEach(bucket -> accept(groups, bucket)));
    }

    private static void accept(
        Map<TableBucket, Group<List<RawBytes>>> groups, PbPrefixLookupRespForBucket response) {
      Group<List<RawBytes>> group =
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
      PrimaryKeyLookuper.checkCount(group, response.getValueListsCount());
      List<List<RawBytes>> results = new ArrayList<>(response.getValueListsCount());
      for (PbValueList list : response.getValueListsList()) {
        List<RawBytes> values = new ArrayList<>(list.getValuesCount());
        for (ByteString value : list.getValuesList()) {
          values.add(RawBytes.copyOf(value));
        }
        results.add(values);
      }
      group.results = results;
    }
  }
}
