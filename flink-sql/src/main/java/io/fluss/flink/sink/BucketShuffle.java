package io.fluss.flink.sink;

import io.fluss.client.KeyEncoder;
import io.fluss.client.row.Buckets;
import java.io.Serializable;
import java.util.List;
import javax.annotation.Nullable;
import org.apache.flink.api.common.functions.Partitioner;
import org.apache.flink.api.java.functions.KeySelector;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.RowType;

/**
 * Sends all rows of a bucket to the same subtask. So one key is always written by one writer, in
 * the order it arrives, and a writer fills few large batches instead of many small ones.
 */
public final class BucketShuffle implements Serializable {

  private static final long serialVersionUID = 1L;

  private final RowType inputType;
  private final int[] keyPositions;
  private final int bucketCount;

  /**
   * @param bucketKey names of the columns that choose the bucket, in order
   * @param inputType the rows that arrive
   */
  public BucketShuffle(RowType inputType, List<String> bucketKey, int bucketCount) {
    this.inputType = inputType;
    this.keyPositions = bucketKey.stream().mapToInt(inputType::getFieldIndex).toArray();
    this.bucketCount = bucketCount;
    for (int i = 0; i < keyPositions.length; i++) {
      if (keyPositions[i] < 0) {
        throw new IllegalArgumentException(
            "Column '" + bucketKey.get(i) + "' of the bucket key is not written.");
      }
    }
  }

  <T> DataStream<T> apply(DataStream<T> rows, RowSerializer<T> serializer) {
    return rows.partitionCustom(new BucketToSubtask(), new RowToBucket<>(this, serializer));
  }

  private KeyEncoder newKeyEncoder() {
    return KeyEncoder.of(inputType, keyPositions);
  }

  /** Subtask of a bucket. */
  private static final class BucketToSubtask implements Partitioner<Integer> {
    private static final long serialVersionUID = 1L;

    @Override
    public int partition(Integer bucket, int subtasks) {
      return bucket % subtasks;
    }
  }

  /** Bucket of a row, as the writer will choose it. */
  static final class RowToBucket<T> implements KeySelector<T, Integer> {
    private static final long serialVersionUID = 1L;

    private final BucketShuffle shuffle;
    private final RowSerializer<T> serializer;
    @Nullable private transient KeyEncoder encoder;

    RowToBucket(BucketShuffle shuffle, RowSerializer<T> serializer) {
      this.shuffle = shuffle;
      this.serializer = serializer;
    }

    @Override
    public Integer getKey(T element) {
      if (encoder == null) {
        encoder = shuffle.newKeyEncoder();
      }
      RowData row = serializer.rowOf(element);
      byte[] key = encoder.encode(row);
      return Buckets.bucketOf(key, 0, key.length, shuffle.bucketCount);
    }
  }
}
