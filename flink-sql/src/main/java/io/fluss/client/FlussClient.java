package io.fluss.client;

import java.util.Collection;
import java.util.List;
import java.util.Map;
import org.apache.flink.table.data.RowData;

/** One connection to a cluster. */
public final class FlussClient implements AutoCloseable {
  private FlussClient() {}

  public static FlussClient connect(ClientOptions options) {
    throw new UnsupportedOperationException();
  }

  public List<String> listDatabases() {
    throw new UnsupportedOperationException();
  }

  public boolean databaseExists(String database) {
    throw new UnsupportedOperationException();
  }

  public DatabaseInfo getDatabase(String database) {
    throw new UnsupportedOperationException();
  }

  public void createDatabase(
      String database, DatabaseDescriptor descriptor, boolean ignoreIfExists) {
    throw new UnsupportedOperationException();
  }

  public void dropDatabase(String database, boolean ignoreIfNotExists, boolean cascade) {
    throw new UnsupportedOperationException();
  }

  public List<String> listTables(String database) {
    throw new UnsupportedOperationException();
  }

  public boolean tableExists(TablePath path) {
    throw new UnsupportedOperationException();
  }

  public TableInfo getTable(TablePath path) {
    throw new UnsupportedOperationException();
  }

  public void createTable(TablePath path, TableDescriptor descriptor, boolean ignoreIfExists) {
    throw new UnsupportedOperationException();
  }

  public void dropTable(TablePath path, boolean ignoreIfNotExists) {
    throw new UnsupportedOperationException();
  }

  public void alterTable(TablePath path, List<ConfigChange> changes, boolean ignoreIfNotExists) {
    throw new UnsupportedOperationException();
  }

  public Map<Integer, Long> listOffsets(
      TableInfo table, Collection<Integer> buckets, OffsetSpec spec) {
    throw new UnsupportedOperationException();
  }

  public long rowCount(TableInfo table) {
    throw new UnsupportedOperationException();
  }

  public boolean supports(ApiKey key) {
    throw new UnsupportedOperationException();
  }

  public LogScanner newLogScanner(TableInfo table, int[] projectedFields) {
    throw new UnsupportedOperationException();
  }

  public AppendWriter newAppendWriter(TableInfo table) {
    throw new UnsupportedOperationException();
  }

  public UpsertWriter newUpsertWriter(TableInfo table, int[] targetColumns) {
    throw new UnsupportedOperationException();
  }

  public Lookuper newLookuper(TableInfo table) {
    throw new UnsupportedOperationException();
  }

  public PrefixLookuper newPrefixLookuper(TableInfo table) {
    throw new UnsupportedOperationException();
  }

  public KvScanner newKvScanner(TableInfo table, int bucket) {
    throw new UnsupportedOperationException();
  }

  public List<RowData> limitScan(TableInfo table, int bucket, int limit) {
    throw new UnsupportedOperationException();
  }

  @Override
  public void close() {}
}
