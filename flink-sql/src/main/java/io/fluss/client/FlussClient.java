package io.fluss.client;

import io.fluss.client.lookup.BucketKeyLookuper;
import io.fluss.client.lookup.PrimaryKeyLookuper;
import io.fluss.client.rpc.ClientContext;
import io.fluss.client.scan.FetchingLogScanner;
import io.fluss.client.scan.LimitScan;
import io.fluss.client.scan.ServerKvScanner;
import io.fluss.client.write.BatchingAppendWriter;
import io.fluss.client.write.BatchingUpsertWriter;
import io.fluss.client.write.PartitionedAppendWriter;
import io.fluss.client.write.PartitionedUpsertWriter;
import java.util.Collection;
import java.util.Collections;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.apache.flink.table.data.RowData;

/**
 * A client of one cluster: administration, and the makers of scanners, writers and lookups.
 * Thread-safe.
 *
 * <p>It holds one connection per server, shared by everything made from it, and two daemon threads.
 * Administrative calls block; retriable errors are repeated for at most {@code
 * client.retry-timeout}, except that a change whose response was lost is not repeated when doing it
 * twice would fail. Errors are {@link FlussException}s. Calls into a closed client fail.
 */
public final class FlussClient implements AutoCloseable {
  private static final Set<ApiKey> TABLET_CALLS =
      EnumSet.of(
          ApiKey.PRODUCE_LOG,
          ApiKey.FETCH_LOG,
          ApiKey.PUT_KV,
          ApiKey.LOOKUP,
          ApiKey.PREFIX_LOOKUP,
          ApiKey.LIST_OFFSETS,
          ApiKey.LIMIT_SCAN,
          ApiKey.SCAN_KV,
          ApiKey.INIT_WRITER,
          ApiKey.GET_TABLE_STATS);

  private final ClientContext context;
  private final Admin admin;

  private FlussClient(ClientContext context) {
    this.context = context;
    this.admin = new Admin(context);
  }

  /**
   * Connects to a cluster.
   *
   * @throws FlussException when none of the bootstrap servers responds within {@code
   *     client.connect-timeout}
   */
  public static FlussClient connect(ClientOptions options) {
    ClientContext context = new ClientContext(options);
    try {
      context.bootstrap();
      return new FlussClient(context);
    } catch (RuntimeException e) {
      context.close();
      throw e;
    }
  }

  public List<String> listDatabases() {
    return admin.listDatabases();
  }

  public boolean databaseExists(String database) {
    return admin.databaseExists(database);
  }

  public DatabaseInfo getDatabase(String database) {
    return admin.getDatabase(database);
  }

  public void createDatabase(
      String database, DatabaseDescriptor descriptor, boolean ignoreIfExists) {
    admin.createDatabase(database, descriptor, ignoreIfExists);
  }

  public void dropDatabase(String database, boolean ignoreIfNotExists, boolean cascade) {
    admin.dropDatabase(database, ignoreIfNotExists, cascade);
  }

  public List<String> listTables(String database) {
    return admin.listTables(database);
  }

  public boolean tableExists(TablePath path) {
    return admin.tableExists(path);
  }

  public TableInfo getTable(TablePath path) {
    return admin.getTable(path);
  }

  public void createTable(TablePath path, TableDescriptor descriptor, boolean ignoreIfExists) {
    admin.createTable(path, descriptor, ignoreIfExists);
  }

  public void dropTable(TablePath path, boolean ignoreIfNotExists) {
    admin.dropTable(path, ignoreIfNotExists);
  }

  public void alterTable(TablePath path, List<ConfigChange> changes, boolean ignoreIfNotExists) {
    admin.alterTable(path, changes, ignoreIfNotExists);
  }

  /** Adds nullable columns at the end of a table. */
  public void addColumns(TablePath path, List<AddedColumn> columns, boolean ignoreIfNotExists) {
    admin.addColumns(path, columns, ignoreIfNotExists);
  }

  /** The partitions of a table, by id. */
  public List<PartitionInfo> listPartitions(TablePath path) {
    return admin.listPartitions(path, Collections.emptyMap());
  }

  /**
   * The partitions of a table with these values, by id.
   *
   * @param spec values of some of the partition columns
   */
  public List<PartitionInfo> listPartitions(TablePath path, Map<String, String> spec) {
    return admin.listPartitions(path, spec);
  }

  /**
   * Creates a partition.
   *
   * @param spec values of all partition columns
   */
  public void createPartition(TablePath path, Map<String, String> spec, boolean ignoreIfExists) {
    admin.createPartition(path, spec, ignoreIfExists);
  }

  public void dropPartition(TablePath path, Map<String, String> spec, boolean ignoreIfNotExists) {
    admin.dropPartition(path, spec, ignoreIfNotExists);
  }

  /** The table of which only the partition with this name is meant; PARTITION_NOT_EXISTS. */
  private TableInfo partition(TableInfo table, String name) {
    return context.retry(
        true,
        () -> context.cluster().partition(table, name).thenApply(table::only),
        () -> context.cluster().refresh(null));
  }

  /** {@link #partition}, made if it is missing and {@code client.writer} options say so. */
  private TableInfo partitionToWrite(TableInfo table, String name) {
    try {
      return partition(table, name);
    } catch (FlussException e) {
      if (e.code() != ErrorCode.PARTITION_NOT_EXISTS || !context.options().createsPartitions()) {
        throw e;
      }
    }
    Map<String, String> spec = new LinkedHashMap<>();
    List<String> values = new PartitionInfo(-1, name).values();
    for (int i = 0; i < values.size(); i++) {
      spec.put(table.partitionKeys().get(i), values.get(i));
    }
    admin.createPartition(table.path(), spec, true);
    return partition(table, name);
  }

  /**
   * One offset per bucket.
   *
   * @param table of a partitioned table only one partition ({@link TableInfo#only})
   */
  public Map<Integer, Long> listOffsets(
      TableInfo table, Collection<Integer> buckets, OffsetSpec spec) {
    requireOnePlace(table);
    return admin.listOffsets(table, buckets, spec);
  }

  /** Rows of a primary-key table, or records in the log of a log table. */
  public long rowCount(TableInfo table) {
    requireSupported(table);
    if (!table.isPartitioned() || table.partition() != null) {
      return admin.rowCount(table);
    }
    return listPartitions(table.path()).stream()
        .mapToLong(partition -> admin.rowCount(table.only(partition)))
        .sum();
  }

  /** Whether the cluster has this call. */
  public boolean supports(ApiKey key) {
    return context.supports(key, TABLET_CALLS.contains(key));
  }

  /**
   * A scanner of the logs of a table or of its partitions.
   *
   * @param projectedFields columns of the rows, by position in the table, in the order wanted; null
   *     for all
   */
  public LogScanner newLogScanner(TableInfo table, int[] projectedFields) {
    requireSupported(table);
    return new FetchingLogScanner(context, table, projectedFields);
  }

  public AppendWriter newAppendWriter(TableInfo table) {
    requireSupported(table);
    if (table.hasPrimaryKey()) {
      throw new IllegalArgumentException(table.path() + " has a primary key: rows are upserted");
    }
    return table.isPartitioned()
        ? new PartitionedAppendWriter(context, table, name -> partitionToWrite(table, name))
        : new BatchingAppendWriter(context, table);
  }

  /**
   * A writer of a primary-key table.
   *
   * @param targetColumns columns of a partial update, by position in the table; null for full rows
   */
  public UpsertWriter newUpsertWriter(TableInfo table, int[] targetColumns) {
    requirePrimaryKey(table);
    if (targetColumns != null) {
      BatchingUpsertWriter.checkTargetColumns(table, targetColumns);
    }
    return table.isPartitioned()
        ? new PartitionedUpsertWriter(
            context, table, name -> partitionToWrite(table, name), targetColumns)
        : new BatchingUpsertWriter(context, table, targetColumns);
  }

  public Lookuper newLookuper(TableInfo table) {
    requirePrimaryKey(table);
    return new PrimaryKeyLookuper(context, table);
  }

  /**
   * Lookups by bucket key.
   *
   * @throws IllegalArgumentException when the bucket key is not the leading part of the primary key
   */
  public PrefixLookuper newPrefixLookuper(TableInfo table) {
    requirePrimaryKey(table);
    return new BucketKeyLookuper(context, table);
  }

  /**
   * Opens a scan of all rows of one bucket; see {@link #supports} with {@link ApiKey#SCAN_KV}.
   *
   * @param table of a partitioned table only one partition
   */
  public KvScanner newKvScanner(TableInfo table, int bucket) {
    requirePrimaryKey(table);
    requireOnePlace(table);
    return new ServerKvScanner(context, table, bucket);
  }

  /**
   * Up to {@code limit} rows of one bucket: the first in key order, or the last of a log table.
   *
   * @param table of a partitioned table only one partition
   */
  public List<RowData> limitScan(TableInfo table, int bucket, int limit) {
    requireOnePlace(table);
    if (limit < 1) {
      throw new IllegalArgumentException("the limit must be positive: " + limit);
    }
    return LimitScan.run(context, table, bucket, limit);
  }

  private static void requireOnePlace(TableInfo table) {
    requireSupported(table);
    if (table.isPartitioned() && table.partition() == null) {
      throw new IllegalArgumentException(table.path() + " is partitioned: choose a partition");
    }
  }

  private static void requirePrimaryKey(TableInfo table) {
    requireSupported(table);
    if (!table.hasPrimaryKey()) {
      throw new IllegalArgumentException(table.path() + " has no primary key");
    }
  }

  /**
   * Refuses tables whose data this client would read wrongly or put where others do not find it.
   */
  private static void requireSupported(TableInfo table) {
    String lake = table.properties().get("table.datalake.format");
    if (lake != null && !lake.toLowerCase(Locale.ROOT).equals("lance")) {
      throw new FlussException(
          ErrorCode.UNSUPPORTED_VERSION,
          table.path()
              + " has keys and buckets in the form of the data lake format "
              + lake
              + ", which this client does not support");
    }
  }

  @Override
  public void close() {
    context.close();
  }
}
