package io.fluss.flink.table;

import io.fluss.client.ClientOptions;
import io.fluss.client.TablePath;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.types.RowKind;

/** A table as the planner knows it: what the catalog said, no connection. Immutable. */
final class TableSpec {

  private final TablePath path;
  private final RowType physicalType;
  private final int[] primaryKey;
  private final List<String> partitionKeys;
  private final Map<String, String> options;
  private final ClientOptions clientOptions;

  /**
   * @param primaryKey positions of the key columns in key order, empty for a log table
   */
  TableSpec(
      TablePath path,
      RowType physicalType,
      int[] primaryKey,
      List<String> partitionKeys,
      Map<String, String> options,
      ClientOptions clientOptions) {
    this.path = path;
    this.physicalType = physicalType;
    this.primaryKey = primaryKey.clone();
    this.partitionKeys = Collections.unmodifiableList(new ArrayList<>(partitionKeys));
    this.options = Collections.unmodifiableMap(new HashMap<>(options));
    this.clientOptions = clientOptions;
  }

  TablePath path() {
    return path;
  }

  /** The physical columns when the query was planned. */
  RowType physicalType() {
    return physicalType;
  }

  boolean hasPrimaryKey() {
    return primaryKey.length > 0;
  }

  int[] primaryKeyIndexes() {
    return primaryKey.clone();
  }

  List<String> primaryKey() {
    return Arrays.stream(primaryKey)
        .mapToObj(physicalType.getFieldNames()::get)
        .collect(Collectors.toCollection(ArrayList::new));
  }

  /** Columns that choose the partition; empty for a table without partitions. */
  List<String> partitionKeys() {
    return partitionKeys;
  }

  /** Columns that choose the bucket; empty for a log table without a bucket key. */
  List<String> bucketKey() {
    String key = options.get(FlussConnectorOptions.BUCKET_KEY.key());
    if (key == null) {
      List<String> all = primaryKey();
      all.removeAll(partitionKeys);
      return all;
    }
    List<String> names = new ArrayList<>();
    for (String name : key.split(",")) {
      names.add(name.trim());
    }
    return names;
  }

  /** Columns whose values the server generates. */
  List<String> autoIncrement() {
    String names = options.get(FlussConnectorOptions.AUTO_INCREMENT_FIELDS.key());
    return names == null ? Collections.emptyList() : Arrays.asList(names.split(","));
  }

  Map<String, String> options() {
    return options;
  }

  ClientOptions clientOptions() {
    return clientOptions;
  }

  private String property(String key, String defaultValue) {
    return options.getOrDefault(key, defaultValue);
  }

  /** Whether rows can disappear. */
  boolean allowsDeletes() {
    return property("table.delete.behavior", "ALLOW").equalsIgnoreCase("ALLOW");
  }

  /** Whether a row that is written does not simply replace the stored one. */
  boolean mergesWrites() {
    String engine = property("table.merge-engine", "");
    return engine.equalsIgnoreCase("aggregation") || engine.equalsIgnoreCase("first_row");
  }

  /** Whether the changelog holds the row before an update, too. */
  boolean hasBeforeImages() {
    return property("table.changelog.image", "FULL").equalsIgnoreCase("FULL");
  }

  /** The kinds of rows of the table's log. */
  ChangelogMode changelogMode() {
    boolean insertOnly =
        !hasPrimaryKey() || property("table.merge-engine", "").equalsIgnoreCase("FIRST_ROW");
    if (insertOnly) {
      return ChangelogMode.insertOnly();
    }
    ChangelogMode.Builder mode =
        ChangelogMode.newBuilder()
            .addContainedKind(RowKind.INSERT)
            .addContainedKind(RowKind.UPDATE_AFTER);
    if (hasBeforeImages()) {
      mode.addContainedKind(RowKind.UPDATE_BEFORE);
    }
    if (allowsDeletes()) {
      mode.addContainedKind(RowKind.DELETE);
    }
    return mode.build();
  }
}
