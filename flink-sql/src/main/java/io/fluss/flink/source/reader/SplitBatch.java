package io.fluss.flink.source.reader;

import io.fluss.client.BucketRecords;
import io.fluss.client.KeyEncoder;
import io.fluss.flink.source.split.ScanHistory;
import java.util.List;
import java.util.function.UnaryOperator;
import javax.annotation.Nullable;
import org.apache.flink.table.data.RowData;

/** Some rows of one split, handed from the fetcher to the task thread and read there once. */
abstract class SplitBatch {

  private final String splitId;
  private int next;

  SplitBatch(String splitId) {
    this.splitId = splitId;
  }

  String splitId() {
    return splitId;
  }

  abstract int size();

  abstract void fill(int index, ScanRecord target);

  /** Fills {@code target} with the next row, false if there is none. */
  final boolean next(ScanRecord target) {
    if (next >= size()) {
      return false;
    }
    fill(next++, target);
    return true;
  }

  /** The result of a query. */
  static SplitBatch result(String splitId, List<RowData> rows) {
    return new SplitBatch(splitId) {
      @Override
      int size() {
        return rows.size();
      }

      @Override
      void fill(int index, ScanRecord target) {
        target.setResult(rows.get(index));
      }
    };
  }

  /** No rows but the mark that the split is idle, behind everything that was read of it before. */
  static SplitBatch idle(String splitId) {
    return new SplitBatch(splitId) {
      @Override
      int size() {
        return 1;
      }

      @Override
      void fill(int index, ScanRecord target) {
        target.setIdleMark();
      }
    };
  }

  /** Rows of the state of a bucket; {@code last} if the state ends after them. */
  static SplitBatch state(
      String splitId,
      List<RowData> rows,
      UnaryOperator<RowData> projection,
      KeyEncoder keyEncoder,
      long scanOffset,
      boolean last) {
    return new SplitBatch(splitId) {
      @Override
      int size() {
        return rows.size();
      }

      @Override
      void fill(int index, ScanRecord target) {
        RowData full = rows.get(index);
        target.setState(
            projection.apply(full), full, keyEncoder, scanOffset, last && index == rows.size() - 1);
      }
    };
  }

  /**
   * A run of the log.
   *
   * @param kept the indexes of the records to emit, null for all of the first {@code size}
   * @param endOffset where to go on after the last of them
   */
  static SplitBatch log(
      String splitId,
      BucketRecords records,
      @Nullable int[] kept,
      int size,
      long endOffset,
      UnaryOperator<RowData> projection,
      @Nullable ScanHistory history) {
    return new SplitBatch(splitId) {
      @Override
      int size() {
        return size;
      }

      @Override
      void fill(int index, ScanRecord target) {
        int at = kept == null ? index : kept[index];
        long nextOffset = index == size - 1 ? endOffset : records.offset(at) + 1;
        target.setLog(
            projection.apply(records.row(at)), records.timestamp(at), nextOffset, history);
      }
    };
  }
}
