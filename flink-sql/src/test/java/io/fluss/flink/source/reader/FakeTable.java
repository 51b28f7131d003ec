package io.fluss.flink.source.reader;

import io.fluss.client.BucketRecords;
import io.fluss.client.ChangeType;
import io.fluss.client.ErrorCode;
import io.fluss.client.FlussException;
import io.fluss.client.KeyEncoder;
import io.fluss.client.KvScanner;
import io.fluss.client.LogScanner;
import io.fluss.client.ScanBatch;
import io.fluss.client.TableBucket;
import io.fluss.client.TableInfo;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import javax.annotation.Nullable;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.types.RowKind;

/** A table in memory with the log and, with a primary key, the state of each bucket. */
final class FakeTable implements TableAccess {

  private final TableInfo table;
  private final Random random;
  private final List<Bucket> buckets;
  private final RowData.FieldGetter[] getters;

  /** Probability that a step of a scan of the state fails as if the server had given it up. */
  double scanFailures;

  int openScans;
  int scansStarted;
  int wakeUps;

  FakeTable(TableInfo table, Random random) {
    this.table = table;
    this.random = random;
    this.buckets =
        IntStream.range(0, table.bucketCount())
            .mapToObj(b -> new Bucket())
            .collect(Collectors.toList());
    this.getters =
        IntStream.range(0, table.rowType().getFieldCount())
            .mapToObj(i -> RowData.createFieldGetter(table.rowType().getTypeAt(i), i))
            .toArray(RowData.FieldGetter[]::new);
  }

  // ------------------------------------------------------------------------------------ writing

  void append(int bucket, RowData row) {
    buckets.get(bucket).log.add(new Entry(ChangeType.APPEND, row));
  }

  /** A batch without records, which takes an offset all the same. */
  void skipOffset(int bucket) {
    buckets.get(bucket).log.add(null);
  }

  void upsert(int bucket, RowData row) {
    Bucket b = buckets.get(bucket);
    RowData old = b.state.put(key(row), row);
    if (old == null) {
      b.log.add(new Entry(ChangeType.INSERT, row));
    } else {
      b.log.add(new Entry(ChangeType.UPDATE_BEFORE, old));
      b.log.add(new Entry(ChangeType.UPDATE_AFTER, row));
    }
  }

  void delete(int bucket, RowData row) {
    Bucket b = buckets.get(bucket);
    RowData old = b.state.remove(key(row));
    b.log.add(old == null ? null : new Entry(ChangeType.DELETE, old));
  }

  List<RowData> state(int bucket) {
    return new ArrayList<>(buckets.get(bucket).state.values());
  }

  long endOffset(int bucket) {
    return buckets.get(bucket).log.size();
  }

  private byte[] key(RowData row) {
    return KeyEncoder.primaryKey(table).encode(row);
  }

  private static final class Bucket {
    final List<Entry> log = new ArrayList<>();
    final TreeMap<byte[], RowData> state = new TreeMap<>(Arrays::compareUnsigned);
  }

  private static final class Entry {
    final ChangeType type;
    final RowData row;

    Entry(ChangeType type, RowData row) {
      this.type = type;
      this.row = row;
    }
  }

  // ------------------------------------------------------------------------------------ reading

  @Override
  public TableInfo table() {
    return table;
  }

  @Override
  public KvScanner newKvScanner(TableBucket bucket) {
    Bucket b = buckets.get(bucket.bucket());
    long offset = b.log.size();
    Iterator<RowData> rows = new ArrayList<>(b.state.values()).iterator();
    openScans++;
    scansStarted++;
    return new KvScanner() {
      @Override
      public long logOffset() {
        return offset;
      }

      @Override
      public boolean next(List<RowData> out) {
        if (random.nextDouble() < scanFailures) {
          throw new FlussException(ErrorCode.SCANNER_EXPIRED, "expired");
        }
        if (!rows.hasNext()) {
          return false;
        }
        for (int i = 1 + random.nextInt(4); i > 0 && rows.hasNext(); i--) {
          out.add(rows.next());
        }
        return true;
      }

      @Override
      public void close() {
        openScans--;
      }
    };
  }

  @Override
  public LogScanner newLogScanner(@Nullable int[] fields) {
    Map<Integer, Long> positions = new HashMap<>();
    return new LogScanner() {
      @Override
      public void subscribe(TableBucket bucket, long offset) {
        positions.put(bucket.bucket(), Math.max(0, offset));
      }

      @Override
      public void unsubscribe(TableBucket bucket) {
        positions.remove(bucket.bucket());
      }

      @Override
      public ScanBatch poll(Duration timeout) {
        List<BucketRecords> runs = new ArrayList<>();
        for (Map.Entry<Integer, Long> position : positions.entrySet()) {
          long from = position.getValue();
          long end = endOffset(position.getKey());
          if (from < end && random.nextInt(4) > 0) {
            long to = Math.min(end, from + 1 + random.nextInt(5));
            runs.add(run(position.getKey(), from, to, fields));
            position.setValue(to);
          }
        }
        return new ScanBatch(runs);
      }

      @Override
      public Set<TableBucket> caughtUpFor(Duration duration) {
        return positions.keySet().stream()
            .filter(bucket -> positions.get(bucket) >= endOffset(bucket))
            .map(TableBucket::new)
            .collect(Collectors.toSet());
      }

      @Override
      public void wakeup() {
        wakeUps++;
      }

      @Override
      public void close() {}
    };
  }

  private BucketRecords run(int bucket, long from, long to, @Nullable int[] fields) {
    List<Entry> log = buckets.get(bucket).log;
    long[] offsets =
        IntStream.range((int) from, (int) to)
            .filter(offset -> log.get(offset) != null)
            .mapToLong(offset -> offset)
            .toArray();
    return new BucketRecords(new TableBucket(bucket), to, log.size()) {
      @Override
      public int size() {
        return offsets.length;
      }

      @Override
      public long offset(int index) {
        return offsets[index];
      }

      @Override
      public long timestamp(int index) {
        return 1000 + offsets[index];
      }

      @Override
      public ChangeType changeType(int index) {
        return log.get((int) offsets[index]).type;
      }

      @Override
      public RowData row(int index) {
        Entry entry = log.get((int) offsets[index]);
        return project(entry.row, fields, entry.type.rowKind());
      }
    };
  }

  private RowData project(RowData row, @Nullable int[] fields, RowKind kind) {
    int[] wanted = fields == null ? IntStream.range(0, getters.length).toArray() : fields;
    GenericRowData result = new GenericRowData(kind, wanted.length);
    for (int i = 0; i < wanted.length; i++) {
      result.setField(i, getters[wanted[i]].getFieldOrNull(row));
    }
    return result;
  }

  @Override
  public List<RowData> limitScan(TableBucket bucket, int limit) {
    List<RowData> rows = state(bucket.bucket());
    return rows.subList(0, Math.min(limit, rows.size()));
  }

  @Nullable
  @Override
  public RowData lookup(RowData key) {
    return state(0).stream()
        .filter(row -> row.getLong(0) == key.getLong(0))
        .findFirst()
        .orElse(null);
  }

  @Override
  public long rowCount() {
    return buckets.stream().mapToLong(b -> b.state.size()).sum();
  }

  @Override
  public void close() {}
}
