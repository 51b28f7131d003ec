package io.fluss.client.scan;

import io.fluss.client.BucketRecords;
import io.fluss.client.ChangeType;
import io.fluss.client.TableBucket;
import io.fluss.client.log.LogBatch;
import io.fluss.client.log.LogBatchHeader;
import io.fluss.client.row.Bytes;
import io.fluss.client.rpc.RawBytes;
import org.apache.flink.table.data.RowData;

/** The batches of one bucket in one fetch response, and how far they were read. Not thread-safe. */
final class FetchedBatches {
  private final TableBucket bucket;
  private final RawBytes records;
  private final LogDecoder decoder;
  private final long highWatermark;
  private final long nextOffset;

  /**
   * Records below this were not requested: a fetch response starts with the batch that contains its
   * offset.
   */
  private final long startOffset;

  private int position;
  private LogBatch batch;
  private int index;

  /**
   * @param records one or more whole batches, perhaps followed by a part of another one
   */
  FetchedBatches(
      TableBucket bucket,
      RawBytes records,
      LogDecoder decoder,
      long startOffset,
      long highWatermark) {
    this.bucket = bucket;
    this.records = records;
    this.decoder = decoder;
    this.startOffset = startOffset;
    this.highWatermark = highWatermark;
    this.position = records.offset();
    long next = -1;
    int at = position;
    for (LogBatchHeader header = header(at); header != null; header = header(at)) {
      next = header.nextOffset();
      at = header.endPosition();
    }
    if (next < 0) {
      throw Bytes.corrupt("a fetch response for bucket " + bucket + " holds no whole log batch");
    }
    this.nextOffset = next;
  }

  private LogBatchHeader header(int at) {
    return LogBatchHeader.parse(records.data(), at, records.offset() + records.length());
  }

  TableBucket bucket() {
    return bucket;
  }

  /** Where the next fetch starts. */
  long nextOffset() {
    return nextOffset;
  }

  /**
   * The next run of at most {@code maxRecords} records of one batch, or null after the last one.
   */
  BucketRecords next(int maxRecords) {
    while (batch == null) {
      LogBatchHeader header = header(position);
      if (header == null) {
        return null;
      }
      position = header.endPosition();
      if (header.nextOffset() <= startOffset) {
        continue;
      }
      batch = decoder.decode(header);
      index = (int) Math.max(0, Math.min(batch.size(), startOffset - header.baseOffset()));
    }
    int end = Math.min(batch.size(), index + maxRecords);
    Run run = new Run(bucket, batch, index, end, highWatermark);
    index = end;
    if (end == batch.size()) {
      batch = null;
    }
    return run;
  }

  private static final class Run extends BucketRecords {
    private final LogBatch batch;
    private final int start;
    private final int size;

    Run(TableBucket bucket, LogBatch batch, int start, int end, long highWatermark) {
      super(bucket, end == batch.size() ? batch.nextOffset() : batch.offset(end), highWatermark);
      this.batch = batch;
      this.start = start;
      this.size = end - start;
    }

    @Override
    public int size() {
      return size;
    }

    @Override
    public long offset(int index) {
      return batch.offset(start + index);
    }

    @Override
    public long timestamp(int index) {
      return batch.timestamp();
    }

    @Override
    public ChangeType changeType(int index) {
      return batch.changeType(start + index);
    }

    @Override
    public RowData row(int index) {
      return batch.row(start + index);
    }
  }
}
