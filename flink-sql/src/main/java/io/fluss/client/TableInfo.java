package io.fluss.client;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import javax.annotation.Nullable;
import org.apache.flink.table.types.logical.RowType;

/**
 * One table as the server describes it: identity, newest schema, distribution and options.
 * Immutable.
 */
public final class TableInfo implements Serializable {
  private static final long serialVersionUID = 1L;

  private final TablePath path;
  private final long tableId;
  private final int schemaId;
  private final RowType rowType;
  private final ArrayList<Integer> columnIds;
  private final LinkedHashMap<String, String> columnComments;
  private final LinkedHashMap<String, AggFunction> aggFunctions;
  private final ArrayList<String> autoIncrement;
  private final ArrayList<String> primaryKey;
  private final ArrayList<String> bucketKey;
  private final ArrayList<String> partitionKeys;
  private final int bucketCount;
  private final LinkedHashMap<String, String> properties;
  private final LinkedHashMap<String, String> customProperties;
  private final String comment;
  private final long createdTime;
  private final long modifiedTime;

  /** The only partition that is meant; null for the whole table. */
  @Nullable private final PartitionInfo partition;

  /** Built from a descriptor that the server sent, hence with its defaults filled in. */
  public TableInfo(
      TablePath path,
      long tableId,
      int schemaId,
      TableDescriptor descriptor,
      long createdTime,
      long modifiedTime) {
    this.path = path;
    this.tableId = tableId;
    this.schemaId = schemaId;
    this.rowType = descriptor.rowType();
    this.columnIds = new ArrayList<>(descriptor.columnIds());
    for (int i = columnIds.size(); i < rowType.getFieldCount(); i++) {
      columnIds.add(i);
    }
    this.columnComments = new LinkedHashMap<>(descriptor.columnComments());
    this.aggFunctions = new LinkedHashMap<>(descriptor.aggFunctions());
    this.autoIncrement = new ArrayList<>(descriptor.autoIncrement());
    this.primaryKey = new ArrayList<>(descriptor.primaryKey());
    this.partitionKeys = new ArrayList<>(descriptor.partitionKeys());
    this.bucketKey =
        new ArrayList<>(
            descriptor.bucketKey().isEmpty() ? physicalPrimaryKey() : descriptor.bucketKey());
    this.bucketCount = descriptor.bucketCount().orElse(1);
    this.properties = new LinkedHashMap<>(descriptor.properties());
    this.customProperties = new LinkedHashMap<>(descriptor.customProperties());
    this.comment = descriptor.comment().orElse(null);
    this.createdTime = createdTime;
    this.modifiedTime = modifiedTime;
    this.partition = null;
  }

  private TableInfo(TableInfo table, PartitionInfo partition) {
    this.path = table.path;
    this.tableId = table.tableId;
    this.schemaId = table.schemaId;
    this.rowType = table.rowType;
    this.columnIds = table.columnIds;
    this.columnComments = table.columnComments;
    this.aggFunctions = table.aggFunctions;
    this.autoIncrement = table.autoIncrement;
    this.primaryKey = table.primaryKey;
    this.bucketKey = table.bucketKey;
    this.partitionKeys = table.partitionKeys;
    this.bucketCount = table.bucketCount;
    this.properties = table.properties;
    this.customProperties = table.customProperties;
    this.comment = table.comment;
    this.createdTime = table.createdTime;
    this.modifiedTime = table.modifiedTime;
    this.partition = partition;
  }

  /** The same table, of which only one partition is meant. */
  public TableInfo only(PartitionInfo partition) {
    return new TableInfo(this, Objects.requireNonNull(partition));
  }

  /** The only partition that is meant; null for the whole table. */
  @Nullable
  public PartitionInfo partition() {
    return partition;
  }

  public TablePath path() {
    return path;
  }

  public long tableId() {
    return tableId;
  }

  public int schemaId() {
    return schemaId;
  }

  /** Physical columns in order; key columns are NOT NULL. */
  public RowType rowType() {
    return rowType;
  }

  /** Stable ids of the columns, by position. */
  public List<Integer> columnIds() {
    return Collections.unmodifiableList(columnIds);
  }

  /** Comments by column name; columns without a comment are absent. */
  public Map<String, String> columnComments() {
    return Collections.unmodifiableMap(columnComments);
  }

  /** Aggregation functions by column name; columns without one are absent. */
  public Map<String, AggFunction> aggFunctions() {
    return Collections.unmodifiableMap(aggFunctions);
  }

  /** Columns whose values the server gives; empty for most tables. */
  public List<String> autoIncrement() {
    return Collections.unmodifiableList(autoIncrement);
  }

  public boolean hasPrimaryKey() {
    return !primaryKey.isEmpty();
  }

  /** Columns of the primary key in declared order; empty for a log table. */
  public List<String> primaryKey() {
    return Collections.unmodifiableList(primaryKey);
  }

  /** Positions of {@link #primaryKey()} in {@link #rowType()}, in declared key order. */
  public int[] primaryKeyIndexes() {
    return indexesOf(primaryKey);
  }

  /** Primary key without the partition columns: the columns of key bytes, in order. */
  public List<String> physicalPrimaryKey() {
    List<String> result = new ArrayList<>(primaryKey);
    result.removeAll(partitionKeys);
    return result;
  }

  public int[] physicalPrimaryKeyIndexes() {
    return indexesOf(physicalPrimaryKey());
  }

  /**
   * Columns that choose the bucket; the physical primary key by default, empty for a log table
   * without one.
   */
  public List<String> bucketKey() {
    return Collections.unmodifiableList(bucketKey);
  }

  public int[] bucketKeyIndexes() {
    return indexesOf(bucketKey);
  }

  public List<String> partitionKeys() {
    return Collections.unmodifiableList(partitionKeys);
  }

  public int[] partitionKeyIndexes() {
    return indexesOf(partitionKeys);
  }

  /** Columns of lookups by bucket key: the bucket key and then the partition columns. */
  public List<String> prefixKey() {
    List<String> result = new ArrayList<>(bucketKey);
    result.addAll(partitionKeys);
    return result;
  }

  public int[] prefixKeyIndexes() {
    return indexesOf(prefixKey());
  }

  public boolean isPartitioned() {
    return !partitionKeys.isEmpty();
  }

  public int bucketCount() {
    return bucketCount;
  }

  /** Storage options, {@code table.*}. */
  public Map<String, String> properties() {
    return Collections.unmodifiableMap(properties);
  }

  /** All other options, kept by the server for the connectors. */
  public Map<String, String> customProperties() {
    return Collections.unmodifiableMap(customProperties);
  }

  public Optional<String> comment() {
    return Optional.ofNullable(comment);
  }

  /** Milliseconds since the epoch. */
  public long createdTime() {
    return createdTime;
  }

  /** Milliseconds since the epoch. */
  public long modifiedTime() {
    return modifiedTime;
  }

  private int[] indexesOf(List<String> names) {
    int[] result = new int[names.size()];
    for (int i = 0; i < result.length; i++) {
      result[i] = rowType.getFieldIndex(names.get(i));
    }
    return result;
  }

  @Override
  public String toString() {
    return path
        + (partition == null ? "" : "/" + partition.name())
        + " (id "
        + tableId
        + ", schema "
        + schemaId
        + ", "
        + bucketCount
        + " buckets)";
  }
}
