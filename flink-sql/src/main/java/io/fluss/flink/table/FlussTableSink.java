package io.fluss.flink.table;

import io.fluss.flink.row.RowConverter;
import io.fluss.flink.sink.BucketShuffle;
import io.fluss.flink.sink.FlussSink;
import io.fluss.flink.sink.RowDataSerializer;
import io.fluss.flink.sink.SingleWrite;
import io.fluss.flink.sink.SinkSpec;
import io.fluss.flink.table.FlussConnectorOptions.DistributionMode;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import javax.annotation.Nullable;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.catalog.Column;
import org.apache.flink.table.catalog.ResolvedSchema;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.RowLevelModificationScanContext;
import org.apache.flink.table.connector.sink.DynamicTableSink;
import org.apache.flink.table.connector.sink.SinkV2Provider;
import org.apache.flink.table.connector.sink.abilities.SupportsDeletePushDown;
import org.apache.flink.table.connector.sink.abilities.SupportsPartitioning;
import org.apache.flink.table.connector.sink.abilities.SupportsRowLevelDelete;
import org.apache.flink.table.connector.sink.abilities.SupportsRowLevelUpdate;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.expressions.ResolvedExpression;
import org.apache.flink.table.factories.FactoryUtil;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.types.RowKind;

/** A Fluss table as a sink of Flink SQL: INSERT, and in batch mode UPDATE and DELETE. */
final class FlussTableSink
    implements DynamicTableSink,
        SupportsPartitioning,
        SupportsDeletePushDown,
        SupportsRowLevelDelete,
        SupportsRowLevelUpdate {

  private final TableSpec table;
  private final ResolvedSchema schema;
  private final ReadableConfig options;
  private final boolean streaming;

  private RowType inputType;
  private boolean updating;
  private List<String> staticColumns = new ArrayList<>();
  @Nullable private Object[] deletedKey;

  FlussTableSink(
      TableSpec table, ResolvedSchema schema, ReadableConfig options, boolean streaming) {
    this.table = table;
    this.schema = schema;
    this.options = options;
    this.streaming = streaming;
    this.inputType = table.physicalType();
  }

  @Override
  public DynamicTableSink copy() {
    FlussTableSink copy = new FlussTableSink(table, schema, options, streaming);
    copy.inputType = inputType;
    copy.updating = updating;
    copy.staticColumns = staticColumns;
    copy.deletedKey = deletedKey;
    return copy;
  }

  @Override
  public String asSummaryString() {
    return "Fluss table " + table.path();
  }

  /** The rows that arrive have the values of these columns as well. */
  @Override
  public void applyStaticPartition(Map<String, String> partition) {
    staticColumns = new ArrayList<>(partition.keySet());
  }

  private boolean ignoresDelete() {
    return options.get(FlussConnectorOptions.SINK_IGNORE_DELETE);
  }

  @Override
  public ChangelogMode getChangelogMode(ChangelogMode requested) {
    if (!table.hasPrimaryKey() && !(streaming && ignoresDelete())) {
      return ChangelogMode.insertOnly();
    }
    ChangelogMode.Builder mode = ChangelogMode.newBuilder();
    for (RowKind kind : requested.getContainedKinds()) {
      // An upsert needs no row before the update.
      boolean unused = kind == RowKind.UPDATE_BEFORE;
      // The server does not delete a row with a generated value; see checkDeletes.
      unused |= kind == RowKind.DELETE && !table.autoIncrement().isEmpty() && !ignoresDelete();
      if (!unused) {
        mode.addContainedKind(kind);
      }
    }
    return mode.build();
  }

  @Override
  public SinkRuntimeProvider getSinkRuntimeProvider(Context context) {
    SinkSpec spec =
        new SinkSpec(
            table.clientOptions(),
            table.path(),
            table.hasPrimaryKey(),
            inputType,
            targetColumns(context),
            ignoresDelete());
    Integer parallelism = options.getOptional(FactoryUtil.SINK_PARALLELISM).orElse(null);
    FlussSink<RowData> sink =
        new FlussSink<>(spec, new RowDataSerializer(), shuffle(), parallelism == null);
    return SinkV2Provider.of(sink, parallelism);
  }

  /** The columns an INSERT names, null if it writes whole rows. */
  @Nullable
  private String[] targetColumns(Context context) {
    if (updating) {
      // An UPDATE names the columns it sets, but writes whole rows, without generated values.
      List<String> written = new ArrayList<>(table.physicalType().getFieldNames());
      return written.removeAll(table.autoIncrement()) ? written.toArray(new String[0]) : null;
    }
    int[][] paths = context.getTargetColumns().orElse(new int[0][]);
    List<String> names = new ArrayList<>();
    for (int[] path : paths) {
      if (path.length != 1) {
        throw new ValidationException("Single fields of a nested column cannot be written.");
      }
      names.add(schema.getColumnNames().get(path[0]));
    }
    if (!names.isEmpty()) {
      names.removeAll(staticColumns);
      names.addAll(staticColumns);
    }
    checkNotGenerated(names);
    if (names.isEmpty() || names.containsAll(table.physicalType().getFieldNames())) {
      return null;
    }
    if (!table.hasPrimaryKey()) {
      throw new ValidationException(
          String.format(
              "An INSERT into table %s must write all columns, because it has no primary key;"
                  + " write NULL for those without a value.",
              table.path()));
    }
    if (!names.containsAll(table.primaryKey())) {
      throw new ValidationException(
          String.format(
              "An INSERT into some columns of table %s must write its primary key %s, not only %s.",
              table.path(), table.primaryKey(), names));
    }
    return names.toArray(new String[0]);
  }

  private void checkNotGenerated(List<String> names) {
    for (String column : table.autoIncrement()) {
      if (names.isEmpty() || names.contains(column)) {
        List<String> others = new ArrayList<>(table.physicalType().getFieldNames());
        others.remove(column);
        throw new ValidationException(
            String.format(
                "The server generates the values of column '%s' of table %s (auto-increment)."
                    + " Name the other columns: INSERT INTO %s (%s) ...",
                column, table.path(), table.path(), String.join(", ", others)));
      }
    }
  }

  @Nullable
  private BucketShuffle shuffle() {
    DistributionMode mode = options.get(FlussConnectorOptions.SINK_DISTRIBUTION_MODE);
    List<String> bucketKey = table.bucketKey();
    if (mode == DistributionMode.BUCKET && bucketKey.isEmpty()) {
      throw new ValidationException(
          "'sink.distribution-mode' = 'bucket' needs a bucket key; table "
              + table.path()
              + " has none.");
    }
    if (mode == DistributionMode.NONE || bucketKey.isEmpty()) {
      return null;
    }
    Integer buckets = options.get(FlussConnectorOptions.BUCKET_NUM);
    return buckets == null ? null : new BucketShuffle(inputType, bucketKey, buckets);
  }

  // -------------------------------------------------------------------------- UPDATE and DELETE

  @Override
  public boolean applyDeleteFilters(List<ResolvedExpression> filters) {
    checkDeletes();
    KeyLiterals literals = KeyLiterals.of(filters, table.physicalType(), table.primaryKey());
    if (!literals.key().isPresent() || literals.used().size() != filters.size()) {
      return false;
    }
    deletedKey = literals.key().get();
    return true;
  }

  @Override
  public Optional<Long> executeDeletion() {
    GenericRowData row = new GenericRowData(table.physicalType().getFieldCount());
    row.setRowKind(RowKind.DELETE);
    int[] key = table.primaryKeyIndexes();
    for (int i = 0; i < key.length; i++) {
      row.setField(
          key[i],
          RowConverter.toInternal(table.physicalType().getTypeAt(key[i])).convert(deletedKey[i]));
    }
    SingleWrite.of(
        new SinkSpec(table.clientOptions(), table.path(), true, table.physicalType(), null, false),
        row);
    return Optional.empty();
  }

  @Override
  public RowLevelDeleteInfo applyRowLevelDelete(@Nullable RowLevelModificationScanContext context) {
    checkDeletes();
    List<Column> key = columns(table.primaryKey());
    inputType = rowType(key);
    return new RowLevelDeleteInfo() {
      @Override
      public Optional<List<Column>> requiredColumns() {
        return Optional.of(key);
      }
    };
  }

  @Override
  public RowLevelUpdateInfo applyRowLevelUpdate(
      List<Column> updated, @Nullable RowLevelModificationScanContext context) {
    checkPrimaryKey("UPDATE");
    if (table.mergesWrites()) {
      throw new ValidationException(
          String.format(
              "Rows of table %s cannot be updated: 'table.merge-engine' = '%s' would merge the new"
                  + " row with the old one. Use INSERT.",
              table.path(), table.options().get("table.merge-engine")));
    }
    for (Column column : updated) {
      if (table.autoIncrement().contains(column.getName())) {
        throw new ValidationException(
            String.format(
                "The server generates the values of column '%s' of table %s; it cannot be updated.",
                column.getName(), table.path()));
      }
      if (table.primaryKey().contains(column.getName())) {
        throw new ValidationException(
            "Column '"
                + column.getName()
                + "' belongs to the primary key of table "
                + table.path()
                + " and cannot be updated; delete the row and insert another.");
      }
    }
    updating = true;
    // Computed columns are not written and must not be required.
    List<Column> physical = columns(table.physicalType().getFieldNames());
    return new RowLevelUpdateInfo() {
      @Override
      public Optional<List<Column>> requiredColumns() {
        return Optional.of(physical);
      }
    };
  }

  private void checkDeletes() {
    checkPrimaryKey("DELETE");
    if (!table.autoIncrement().isEmpty()) {
      // Every write to such a table leaves the generated column out, and what a delete leaves out
      // stays.
      throw new ValidationException(
          String.format(
              "Rows of table %s cannot be deleted: it has the auto-increment column '%s'.",
              table.path(), table.autoIncrement().get(0)));
    }
    if (!table.allowsDeletes()) {
      throw new ValidationException(
          String.format(
              "Rows of table %s cannot be deleted: 'table.delete.behavior' = '%s'.",
              table.path(), table.options().get("table.delete.behavior")));
    }
  }

  private void checkPrimaryKey(String statement) {
    if (!table.hasPrimaryKey()) {
      throw new ValidationException(
          statement + " needs a primary key; table " + table.path() + " has none.");
    }
  }

  private List<Column> columns(List<String> names) {
    Set<String> wanted = new HashSet<>(names);
    return schema.getColumns().stream()
        .filter(column -> wanted.contains(column.getName()))
        .collect(Collectors.toList());
  }

  private static RowType rowType(List<Column> columns) {
    return new RowType(
        false,
        columns.stream()
            .map(c -> new RowType.RowField(c.getName(), c.getDataType().getLogicalType()))
            .collect(Collectors.toList()));
  }
}
