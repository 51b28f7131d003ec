package io.fluss.flink.lookup;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.flink.table.api.TableException;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;

/**
 * How the equalities of a lookup join become a question to the server.
 *
 * <p>If they fix all columns of the primary key, one row is looked up by it. Otherwise, if the
 * bucket key is the beginning of the primary key and is fixed, all rows with that prefix are. The
 * columns of a partition key always have to be fixed. What is fixed beyond that is compared with
 * the rows found.
 */
public final class LookupPlan implements Serializable {

  private static final long serialVersionUID = 1L;

  private final boolean prefix;
  private final int[] keyPositions;
  private final int[] filterPositions;
  private final int[] filterColumns;

  private LookupPlan(
      boolean prefix, int[] keyPositions, int[] filterPositions, int[] filterColumns) {
    this.prefix = prefix;
    this.keyPositions = keyPositions;
    this.filterPositions = filterPositions;
    this.filterColumns = filterColumns;
  }

  /**
   * Decides how to look up.
   *
   * @param table name of the table, for messages
   * @param primaryKey key columns in key order
   * @param bucketKey columns that choose the bucket
   * @param partitionKey columns that choose the partition
   * @param producedType the columns the lookup returns
   * @param lookupKeys for each value of a lookup the produced column it is compared with
   * @throws TableException if the values fix neither the primary key nor its prefix
   */
  public static LookupPlan resolve(
      String table,
      List<String> primaryKey,
      List<String> bucketKey,
      List<String> partitionKey,
      RowType producedType,
      int[] lookupKeys) {
    List<String> names = new ArrayList<>();
    for (int column : lookupKeys) {
      names.add(producedType.getFieldNames().get(column));
    }
    boolean byPrimaryKey = names.containsAll(primaryKey);
    List<String> keyInPartition = new ArrayList<>(primaryKey);
    keyInPartition.removeAll(partitionKey);
    List<String> prefixKey = new ArrayList<>(bucketKey);
    prefixKey.addAll(partitionKey);
    boolean byPrefix =
        bucketKey.size() < keyInPartition.size()
            && keyInPartition.subList(0, bucketKey.size()).equals(bucketKey)
            && names.containsAll(prefixKey);
    if (!byPrimaryKey && !byPrefix) {
      throw new TableException(
          String.format(
              "Table %s can be looked up by all columns of its primary key %s%s, not by %s.",
              table,
              primaryKey,
              keyInPartition.equals(bucketKey)
                  ? ""
                  : ", or by a bucket key that begins it, " + prefixKey,
              names));
    }
    List<String> key = byPrimaryKey ? primaryKey : prefixKey;
    int[] keyPositions = key.stream().mapToInt(names::indexOf).toArray();
    Set<Integer> lookedUp = new HashSet<>();
    for (int position : keyPositions) {
      lookedUp.add(position);
    }
    List<Integer> filters = new ArrayList<>();
    for (int i = 0; i < lookupKeys.length; i++) {
      if (!lookedUp.contains(i)) {
        checkComparable(producedType, lookupKeys[i]);
        filters.add(i);
      }
    }
    int[] filterPositions = filters.stream().mapToInt(Integer::intValue).toArray();
    int[] filterColumns = Arrays.stream(filterPositions).map(i -> lookupKeys[i]).toArray();
    return new LookupPlan(!byPrimaryKey, keyPositions, filterPositions, filterColumns);
  }

  private static void checkComparable(RowType producedType, int column) {
    LogicalType type = producedType.getTypeAt(column);
    if (!type.getChildren().isEmpty()) {
      throw new TableException(
          String.format(
              "A lookup cannot compare column '%s' of type %s.",
              producedType.getFieldNames().get(column), type.asSummaryString()));
    }
  }

  /** Whether rows are found by a prefix of the primary key, several for one key. */
  public boolean isPrefix() {
    return prefix;
  }

  /** Which values of a lookup make up the key to look up, in key order. */
  int[] keyPositions() {
    return keyPositions;
  }

  /** Which values of a lookup are compared with the rows found. */
  int[] filterPositions() {
    return filterPositions;
  }

  /** The produced columns that {@link #filterPositions()} are compared with. */
  int[] filterColumns() {
    return filterColumns;
  }
}
