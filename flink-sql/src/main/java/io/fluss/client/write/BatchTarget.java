package io.fluss.client.write;

import com.google.protobuf.UnsafeByteOperations;
import io.fluss.client.ApiKey;
import io.fluss.client.FlussException;
import io.fluss.client.TableInfo;
import io.fluss.client.log.LogBatchHeader;
import io.fluss.client.row.KvBatchBuilder;
import io.fluss.client.rpc.Errors;
import io.fluss.client.rpc.NetworkClient;
import io.fluss.client.rpc.Node;
import io.fluss.rpc.proto.PbProduceLogReqForBucket;
import io.fluss.rpc.proto.PbProduceLogRespForBucket;
import io.fluss.rpc.proto.PbPutKvReqForBucket;
import io.fluss.rpc.proto.PbPutKvRespForBucket;
import io.fluss.rpc.proto.ProduceLogRequest;
import io.fluss.rpc.proto.ProduceLogResponse;
import io.fluss.rpc.proto.PutKvRequest;
import io.fluss.rpc.proto.PutKvResponse;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;
import java.util.function.ToIntFunction;

/**
 * The difference between writing log batches and key-value batches: the call, and where the header
 * fields are.
 */
interface BatchTarget {
  /** Completes a batch with writer id and sequence (-1 and -1: none) and its checksum. */
  void stamp(byte[] batch, long writerId, int sequence);

  /** Sends one batch per bucket; returns the error, if any, of each bucket. */
  CompletableFuture<Map<Integer, Optional<FlussException>>> send(
      NetworkClient network, Node leader, List<PendingBatch> batches, int acks, Duration timeout);

  /** The error, if any, of each bucket of a response. */
  private static <B> Map<Integer, Optional<FlussException>> errors(
      List<B> buckets,
      ToIntFunction<B> bucketId,
      ToIntFunction<B> code,
      Function<B, String> message) {
    Map<Integer, Optional<FlussException>> errors = new HashMap<>();
    for (B bucket : buckets) {
      errors.put(
          bucketId.applyAsInt(bucket),
          code.applyAsInt(bucket) == 0
              ? Optional.empty()
              : Optional.of(Errors.toException(code.applyAsInt(bucket), message.apply(bucket))));
    }
    return errors;
  }

  /** PRODUCE_LOG. */
  final class Log implements BatchTarget {
    private final TableInfo table;

    Log(TableInfo table) {
      this.table = table;
    }

    @Override
    public void stamp(byte[] batch, long writerId, int sequence) {
      LogBatchHeader.stamp(batch, writerId, sequence);
    }

    @Override
    public CompletableFuture<Map<Integer, Optional<FlussException>>> send(
        NetworkClient network,
        Node leader,
        List<PendingBatch> batches,
        int acks,
        Duration timeout) {
      ProduceLogRequest.Builder request =
          ProduceLogRequest.newBuilder()
              .setAcks(acks)
              .setTableId(table.tableId())
              .setTimeoutMs((int) timeout.toMillis());
      for (PendingBatch batch : batches) {
        PbProduceLogReqForBucket.Builder bucket =
            PbProduceLogReqForBucket.newBuilder()
                .setBucketId(batch.bucket)
                .setRecords(UnsafeByteOperations.unsafeWrap(batch.bytes));
        if (table.partition() != null) {
          bucket.setPartitionId(table.partition().id());
        }
        request.addBucketsReq(bucket);
      }
      return network
          .call(leader, ApiKey.PRODUCE_LOG, request.build(), ProduceLogResponse.parser(), timeout)
          .thenApply(
              response ->
                  errors(
                      response.getBucketsRespList(),
                      PbProduceLogRespForBucket::getBucketId,
                      PbProduceLogRespForBucket::getErrorCode,
                      PbProduceLogRespForBucket::getErrorMessage));
    }
  }

  /** PUT_KV. */
  final class Kv implements BatchTarget {
    private final TableInfo table;
    private final int[] targetColumns;

    /** {@code targetColumns} null: full rows. */
    Kv(TableInfo table, int[] targetColumns) {
      this.table = table;
      this.targetColumns = targetColumns == null ? new int[0] : targetColumns;
    }

    @Override
    public void stamp(byte[] batch, long writerId, int sequence) {
      KvBatchBuilder.stamp(batch, writerId, sequence);
    }

    @Override
    public CompletableFuture<Map<Integer, Optional<FlussException>>> send(
        NetworkClient network,
        Node leader,
        List<PendingBatch> batches,
        int acks,
        Duration timeout) {
      PutKvRequest.Builder request =
          PutKvRequest.newBuilder()
              .setAcks(acks)
              .setTableId(table.tableId())
              .setTimeoutMs((int) timeout.toMillis());
      for (int column : targetColumns) {
        request.addTargetColumns(column);
      }
      for (PendingBatch batch : batches) {
        PbPutKvReqForBucket.Builder bucket =
            PbPutKvReqForBucket.newBuilder()
                .setBucketId(batch.bucket)
                .setRecords(UnsafeByteOperations.unsafeWrap(batch.bytes));
        if (table.partition() != null) {
          bucket.setPartitionId(table.partition().id());
        }
        request.addBucketsReq(bucket);
      }
      return network
          .call(leader, ApiKey.PUT_KV, request.build(), PutKvResponse.parser(), timeout)
          .thenApply(
              response ->
                  errors(
                      response.getBucketsRespList(),
                      PbPutKvRespForBucket::getBucketId,
                      PbPutKvRespForBucket::getErrorCode,
                      PbPutKvRespForBucket::getErrorMessage));
    }
  }
}
