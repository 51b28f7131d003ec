package io.fluss.client.lookup;

import io.fluss.client.TableInfo;
import io.fluss.client.row.Buckets;
import io.fluss.client.row.ByteOutput;
import io.fluss.client.row.KeyWriter;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.RowType;

/** Key rows of lookups to key bytes and bucket. Thread-safe. */
final class KeyRouter {
  private final int bucketCount;
  private final KeyWriter keyWriter;

  /** Null when the bucket follows from all key columns. */
  private final KeyWriter bucketWriter;

  private final ByteOutput scratch = new ByteOutput(64);

  /** Takes a key and its bucket. */
  interface Target<T> {
    T add(byte[] key, int bucket);
  }

  /**
   * @param keyColumns columns of the key rows, in order
   * @param bucketKey those of them that choose the bucket
   */
  KeyRouter(TableInfo table, List<String> keyColumns, List<String> bucketKey, int bucketCount) {
    this.bucketCount = bucketCount;
    List<RowType.RowField> fields = new ArrayList<>();
    for (String column : keyColumns) {
      fields.add(table.rowType().getFields().get(table.rowType().getFieldIndex(column)));
    }
    RowType keyType = new RowType(fields);
    this.keyWriter = new KeyWriter(keyType, indexes(keyColumns, keyColumns));
    this.bucketWriter =
        bucketKey.equals(keyColumns)
            ? null
            : new KeyWriter(keyType, indexes(keyColumns, bucketKey));
  }

  private static int[] indexes(List<String> columns, List<String> wanted) {
    return wanted.stream().mapToInt(columns::indexOf).toArray();
  }

  <T> T route(RowData keyRow, Target<T> target) {
    byte[] key;
    int bucket;
    synchronized (this) {
      scratch.clear();
      keyWriter.write(keyRow, scratch);
      key = scratch.toByteArray();
      if (bucketWriter == null) {
        bucket = Buckets.bucketOf(key, 0, key.length, bucketCount);
      } else {
        scratch.clear();
        bucketWriter.write(keyRow, scratch);
        bucket = Buckets.bucketOf(scratch.array(), 0, scratch.size(), bucketCount);
      }
    }
    return target.add(key, bucket);
  }
}
