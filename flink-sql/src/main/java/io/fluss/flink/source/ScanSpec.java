package io.fluss.flink.source;

import io.fluss.client.ClientOptions;
import io.fluss.client.TablePath;
import io.fluss.flink.source.split.QuerySplit.Query;
import java.io.Serializable;
import java.util.Objects;
import javax.annotation.Nullable;
import org.apache.flink.table.types.logical.RowType;

/**
 * What a source reads: table, columns, start, and for bounded sources the question that replaces a
 * scan, if there is one. Immutable.
 */
public final class ScanSpec implements Serializable {

  private static final long serialVersionUID = 1L;

  private final ClientOptions clientOptions;
  private final TablePath path;
  private final RowType producedType;
  private final OffsetsInitializer start;
  private final boolean bounded;
  @Nullable private final Query query;
  private final long limit;
  @Nullable private final Object[] key;
  private final long discoveryIntervalMs;
  private final long idleAfterMs;

  private ScanSpec(
      ClientOptions clientOptions,
      TablePath path,
      RowType producedType,
      OffsetsInitializer start,
      boolean bounded,
      @Nullable Query query,
      long limit,
      @Nullable Object[] key,
      long discoveryIntervalMs,
      long idleAfterMs) {
    this.clientOptions = Objects.requireNonNull(clientOptions);
    this.path = Objects.requireNonNull(path);
    this.producedType = Objects.requireNonNull(producedType);
    this.start = Objects.requireNonNull(start);
    this.bounded = bounded;
    this.query = query;
    this.limit = limit;
    this.key = key;
    this.discoveryIntervalMs = discoveryIntervalMs;
    this.idleAfterMs = idleAfterMs;
  }

  /**
   * A scan.
   *
   * @param producedType names and types of the columns to read, in the order wanted
   * @param bounded end at what is there when the scan starts
   */
  public static ScanSpec scan(
      ClientOptions clientOptions,
      TablePath path,
      RowType producedType,
      OffsetsInitializer start,
      boolean bounded) {
    return new ScanSpec(clientOptions, path, producedType, start, bounded, null, -1, null, 0, 0);
  }

  /** The same scan of a partitioned table, which new partitions join while it runs. */
  public ScanSpec discovering(long intervalMs) {
    if (bounded) {
      throw new IllegalStateException("A bounded source reads what is there when it starts.");
    }
    return new ScanSpec(
        clientOptions, path, producedType, start, false, null, -1, null, intervalMs, idleAfterMs);
  }

  /**
   * The same scan, whose buckets are marked idle for the watermark after this time without unread
   * records.
   */
  public ScanSpec markingIdle(long afterMs) {
    return new ScanSpec(
        clientOptions,
        path,
        producedType,
        start,
        bounded,
        query,
        limit,
        key,
        discoveryIntervalMs,
        afterMs);
  }

  /** The same scan of partitions that are newer than it: all of their rows. */
  public ScanSpec fromTheBeginning() {
    boolean full = start.kind() == OffsetsInitializer.Kind.FULL;
    return new ScanSpec(
        clientOptions,
        path,
        producedType,
        full ? start : OffsetsInitializer.earliest(),
        bounded,
        query,
        limit,
        key,
        discoveryIntervalMs,
        idleAfterMs);
  }

  /** Instead of the scan at least {@code limit} rows of it, fewer only if there are no more. */
  public ScanSpec limitedTo(long rows) {
    return asking(Query.LIMIT, rows, null);
  }

  /**
   * Instead of the scan the row with one primary key.
   *
   * @param primaryKey the key columns in key order, as Java values (see {@code RowConverter})
   */
  public ScanSpec lookingUp(Object[] primaryKey) {
    return asking(Query.LOOKUP, -1, primaryKey.clone());
  }

  /** Instead of the scan one row with one BIGINT column: the number of rows of the table. */
  public ScanSpec counting() {
    return asking(Query.COUNT, -1, null);
  }

  private ScanSpec asking(Query newQuery, long newLimit, @Nullable Object[] newKey) {
    if (!bounded) {
      throw new IllegalStateException("Only a bounded source can query instead of scanning.");
    }
    return new ScanSpec(
        clientOptions, path, producedType, start, true, newQuery, newLimit, newKey, 0, 0);
  }

  public ClientOptions clientOptions() {
    return clientOptions;
  }

  public TablePath path() {
    return path;
  }

  public RowType producedType() {
    return producedType;
  }

  public OffsetsInitializer start() {
    return start;
  }

  public boolean isBounded() {
    return bounded;
  }

  /** Check interval for new partitions in milliseconds; 0: none. */
  public long discoveryIntervalMs() {
    return discoveryIntervalMs;
  }

  /** Milliseconds without unread records after which a bucket is marked idle; 0: never. */
  public long idleAfterMs() {
    return idleAfterMs;
  }

  /** The query that replaces the scan; null for a scan. */
  @Nullable
  public Query query() {
    return query;
  }

  /** Rows wanted by a LIMIT query, else -1. */
  public long limit() {
    return limit;
  }

  /** Primary key of a LOOKUP query in key order, else null. */
  @Nullable
  public Object[] key() {
    return key == null ? null : key.clone();
  }
}
