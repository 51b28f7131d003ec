package io.fluss.client.scan;

import com.google.protobuf.ByteString;
import io.fluss.client.ApiKey;
import io.fluss.client.ErrorCode;
import io.fluss.client.FlussException;
import io.fluss.client.KvScanner;
import io.fluss.client.TableInfo;
import io.fluss.client.lookup.ValueDecoder;
import io.fluss.client.row.ValueBatch;
import io.fluss.client.rpc.ClientContext;
import io.fluss.client.rpc.Errors;
import io.fluss.client.rpc.Node;
import io.fluss.client.rpc.RawBytes;
import io.fluss.rpc.proto.PbScanReqForBucket;
import io.fluss.rpc.proto.ScanKvRequest;
import io.fluss.rpc.proto.ScanKvResponse;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import javax.annotation.Nullable;
import org.apache.flink.table.data.RowData;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Key-value scan on SCAN_KV. Opening is repeated on retriable errors, also while the bucket or the
 * server has all the scans it allows (TOO_MANY_SCANNERS); after that the scan belongs to one server
 * and any error ends it. The next response is requested while the current one is read.
 */
public final class ServerKvScanner implements KvScanner {
  private static final Logger LOG = LoggerFactory.getLogger(ServerKvScanner.class);

  private final ClientContext context;
  private final TableInfo table;
  private final int bucket;
  private final ValueDecoder decoder;
  private final long logOffset;

  private boolean waitNoted;

  private Node leader;
  private ByteString scannerId;
  private int sequence;
  private ScanKvResponse current;
  private CompletableFuture<ScanKvResponse> next;

  public ServerKvScanner(ClientContext context, TableInfo table, int bucket) {
    this.context = context;
    this.table = table;
    this.bucket = bucket;
    this.decoder = new ValueDecoder(context, table);
    this.current = context.callLeader(table, bucket, true, this::open);
    this.logOffset = current.getLogOffset();
    this.scannerId = current.getScannerId();
    requestMore();
  }

  private CompletableFuture<ScanKvResponse> open(Node node) {
    leader = node;
    PbScanReqForBucket.Builder scanned =
        PbScanReqForBucket.newBuilder().setTableId(table.tableId()).setBucketId(bucket);
    if (table.partition() != null) {
      scanned.setPartitionId(table.partition().id());
    }
    ScanKvRequest request =
        ScanKvRequest.newBuilder()
            .setBucketScanReq(scanned)
            .setCallSeqId(0)
            .setBatchSizeBytes(context.options().kvFetchMaxBytes())
            .build();
    return call(request).whenComplete(this::noteOpening);
  }

  /** The wait for a free scanner is silent otherwise, and may take the whole retry time-out. */
  private void noteOpening(@Nullable ScanKvResponse response, @Nullable Throwable error) {
    if (error != null && !waitNoted && Errors.unwrap(error).code() == ErrorCode.TOO_MANY_SCANNERS) {
      waitNoted = true;
      LOG.info(
          "Bucket {} of {} has as many open scans as the server allows; waiting up to {} for one to"
              + " end",
          bucket,
          table.path(),
          context.options().retryTimeout());
    }
  }

  private CompletableFuture<ScanKvResponse> call(ScanKvRequest request) {
    return context
        .network()
        .call(leader, ApiKey.SCAN_KV, request, ScanKvResponse.parser())
        .thenApply(
            response -> {
              if (response.getErrorCode() != 0) {
                throw Errors.toException(response.getErrorCode(), response.getErrorMessage());
              }
              return response;
            });
  }

  private void requestMore() {
    next = null;
    if (current != null && current.getHasMoreResults()) {
      next =
          call(
              ScanKvRequest.newBuilder()
                  .setScannerId(scannerId)
                  .setCallSeqId(++sequence)
                  .setBatchSizeBytes(context.options().kvFetchMaxBytes())
                  .build());
    }
  }

  @Override
  public long logOffset() {
    return logOffset;
  }

  @Override
  public boolean next(List<RowData> out) {
    int before = out.size();
    while (current != null && out.size() == before) {
      RawBytes records = RawBytes.of(current.getRecords());
      ValueBatch.read(
          records.data(),
          records.offset(),
          records.length(),
          (schemaId, data, offset, length) ->
              out.add(decoder.decode(schemaId, data, offset, length)));
      CompletableFuture<ScanKvResponse> following = next;
      current = null;
      if (following != null) {
        current = awaitNext(following);
        requestMore();
      }
    }
    return out.size() > before;
  }

  private ScanKvResponse awaitNext(CompletableFuture<ScanKvResponse> following) {
    try {
      return context.await(following);
    } catch (FlussException e) {
      next = null;
      scannerId = ByteString.EMPTY;
      // Not retriable for the caller in the usual sense: the scan is gone and has to be opened
      // again.
      throw new FlussException(
          e.code() == ErrorCode.NETWORK_EXCEPTION ? ErrorCode.SCANNER_EXPIRED : e.code(),
          "the scan of bucket " + bucket + " of " + table.path() + " broke off: " + e.detail(),
          e);
    }
  }

  @Override
  public void close() {
    boolean open = next != null && !scannerId.isEmpty();
    next = null;
    current = null;
    if (open) {
      // The response does not matter: a server drops idle scans by itself.
      call(
          ScanKvRequest.newBuilder()
              .setScannerId(scannerId)
              .setCallSeqId(++sequence)
              .setBatchSizeBytes(context.options().kvFetchMaxBytes())
              .setCloseScanner(true)
              .build());
    }
  }
}
