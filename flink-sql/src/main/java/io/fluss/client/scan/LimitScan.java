package io.fluss.client.scan;

import io.fluss.client.ApiKey;
import io.fluss.client.BucketRecords;
import io.fluss.client.TableBucket;
import io.fluss.client.TableInfo;
import io.fluss.client.lookup.ValueDecoder;
import io.fluss.client.row.ValueBatch;
import io.fluss.client.rpc.ClientContext;
import io.fluss.client.rpc.Errors;
import io.fluss.client.rpc.RawBytes;
import io.fluss.rpc.proto.LimitScanRequest;
import io.fluss.rpc.proto.LimitScanResponse;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.table.data.RowData;

/**
 * Some rows of one bucket in one response, on LIMIT_SCAN: the first rows in key order of a
 * primary-key table, the last ones of a log table.
 */
public final class LimitScan {
  private LimitScan() {}

  public static List<RowData> run(ClientContext context, TableInfo table, int bucket, int limit) {
    LimitScanRequest.Builder builder =
        LimitScanRequest.newBuilder()
            .setTableId(table.tableId())
            .setBucketId(bucket)
            .setLimit(limit);
    if (table.partition() != null) {
      builder.setPartitionId(table.partition().id());
    }
    LimitScanRequest request = builder.build();
    LimitScanResponse response =
        context.callLeader(
            table,
            bucket,
            true,
            node ->
                context
                    .network()
                    .call(node, ApiKey.LIMIT_SCAN, request, LimitScanResponse.parser())
                    .thenApply(
                        result -> {
                          if (result.getErrorCode() != 0) {
                            throw Errors.toException(
                                result.getErrorCode(), result.getErrorMessage());
                          }
                          return result;
                        }));
    RawBytes records = RawBytes.of(response.getRecords());
    List<RowData> rows = new ArrayList<>();
    if (table.hasPrimaryKey()) {
      ValueDecoder decoder = new ValueDecoder(context, table);
      ValueBatch.read(
          records.data(),
          records.offset(),
          records.length(),
          (schemaId, data, offset, length) ->
              rows.add(decoder.decode(schemaId, data, offset, length)));
    } else if (records.length() > 0) {
      LogDecoder decoder = new LogDecoder(context, table, null, false);
      FetchedBatches batches =
          new FetchedBatches(new TableBucket(table.partition(), bucket), records, decoder, 0, -1);
      for (BucketRecords run = batches.next(Integer.MAX_VALUE);
          run != null;
          run = batches.next(Integer.MAX_VALUE)) {
        for (int i = 0; i < run.size(); i++) {
          rows.add(run.row(i));
        }
      }
    }
    // Whole log batches may hold more rows than requested: the last ones count.
    int extra = rows.size() - limit;
    return extra <= 0
        ? rows
        : new ArrayList<>(
            table.hasPrimaryKey() ? rows.subList(0, limit) : rows.subList(extra, rows.size()));
  }
}
