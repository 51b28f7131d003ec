package io.fluss.flink.source.reader;

import io.fluss.client.FlussClient;
import io.fluss.client.KvScanner;
import io.fluss.client.LogScanner;
import io.fluss.client.Lookuper;
import io.fluss.client.TableBucket;
import io.fluss.client.TableInfo;
import io.fluss.flink.source.ScanSpec;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.ExecutionException;
import javax.annotation.Nullable;
import org.apache.flink.table.data.RowData;

/** The reads of one table that a split reader needs; in tests a table in memory. */
public interface TableAccess extends AutoCloseable {

  TableInfo table();

  /** A scanner of the log with these columns, null for all. */
  LogScanner newLogScanner(@Nullable int[] fields);

  /** A scan of the state of a bucket, in key order. */
  KvScanner newKvScanner(TableBucket bucket);

  /** Up to {@code limit} rows of a bucket, fewer only if it has no more. */
  List<RowData> limitScan(TableBucket bucket, int limit);

  /** The row with this primary key, null if there is none. */
  @Nullable
  RowData lookup(RowData key) throws IOException;

  /** The number of rows of the table. */
  long rowCount();

  @Override
  void close();

  /** Opens the table with a client of its own. */
  static TableAccess connect(ScanSpec spec) {
    FlussClient client = FlussClient.connect(spec.clientOptions());
    try {
      return new ClientTableAccess(client, client.getTable(spec.path()));
    } catch (RuntimeException e) {
      client.close();
      throw e;
    }
  }

  /** The table of a running cluster. */
  final class ClientTableAccess implements TableAccess {
    private final FlussClient client;
    private final TableInfo table;

    ClientTableAccess(FlussClient client, TableInfo table) {
      this.client = client;
      this.table = table;
    }

    @Override
    public TableInfo table() {
      return table;
    }

    @Override
    public LogScanner newLogScanner(@Nullable int[] fields) {
      return client.newLogScanner(table, fields);
    }

    @Override
    public KvScanner newKvScanner(TableBucket bucket) {
      return client.newKvScanner(bucket.placeIn(table), bucket.bucket());
    }

    @Override
    public List<RowData> limitScan(TableBucket bucket, int limit) {
      return client.limitScan(bucket.placeIn(table), bucket.bucket(), limit);
    }

    @Nullable
    @Override
    public RowData lookup(RowData key) throws IOException {
      try (Lookuper lookuper = client.newLookuper(table)) {
        return lookuper.lookup(key).get();
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new IOException("Interrupted while waiting for a lookup.", e);
      } catch (ExecutionException e) {
        throw new IOException("Lookup in table " + table.path() + " failed.", e.getCause());
      }
    }

    @Override
    public long rowCount() {
      return client.rowCount(table);
    }

    @Override
    public void close() {
      client.close();
    }
  }
}
