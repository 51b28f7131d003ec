package io.fluss.flink.source.split;

import io.fluss.client.TableBucket;
import java.util.Objects;

/**
 * A query that one request serves instead of a scan: the query is part of the source, the split
 * says that it is this reader that sends it.
 */
public final class QuerySplit extends FlussSplit {

  /** The kinds of queries. */
  public enum Query {
    /** Some rows of one bucket. */
    LIMIT,
    /** The row of one primary key. */
    LOOKUP,
    /** The number of rows of the table. */
    COUNT
  }

  private final Query query;

  /** A query of a table without partitions. */
  public QuerySplit(long tableId, int bucket, Query query) {
    this(tableId, new TableBucket(bucket), query);
  }

  public QuerySplit(long tableId, TableBucket bucket, Query query) {
    super(tableId, bucket);
    this.query = Objects.requireNonNull(query);
  }

  public Query query() {
    return query;
  }

  @Override
  String kind() {
    return query.name().toLowerCase(java.util.Locale.ROOT);
  }

  @Override
  public boolean equals(Object other) {
    return super.equals(other) && query == ((QuerySplit) other).query;
  }

  @Override
  public int hashCode() {
    return 31 * super.hashCode() + query.hashCode();
  }
}
