package io.fluss.flink.source;

import io.fluss.client.ClientOptions;
import io.fluss.client.FlussClient;
import io.fluss.client.TableInfo;
import io.fluss.client.TablePath;
import io.fluss.flink.table.FlussConnectorOptions;
import io.fluss.flink.table.OptionCheck;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import javax.annotation.Nullable;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.runtime.typeutils.InternalTypeInfo;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.types.Row;

/**
 * Builds a {@link FlussSource} for the DataStream API. Servers, database and table are required;
 * {@code build} connects to read the table's columns.
 */
public final class FlussSourceBuilder {

  private final Map<String, String> options = new HashMap<>();
  private String database;
  private String table;
  @Nullable private String[] projectedFields;
  private OffsetsInitializer startingOffsets = OffsetsInitializer.full();
  private boolean bounded;

  FlussSourceBuilder() {}

  /** Comma-separated host:port list of Fluss servers. */
  public FlussSourceBuilder setBootstrapServers(String bootstrapServers) {
    return setOption(FlussConnectorOptions.BOOTSTRAP_SERVERS.key(), bootstrapServers);
  }

  public FlussSourceBuilder setDatabase(String name) {
    database = name;
    return this;
  }

  public FlussSourceBuilder setTable(String name) {
    table = name;
    return this;
  }

  /** The columns to read, in this order; default: all. */
  public FlussSourceBuilder setProjectedFields(String... names) {
    projectedFields = names.clone();
    return this;
  }

  /** Where to start without a checkpoint; default: full. */
  public FlussSourceBuilder setStartingOffsets(OffsetsInitializer offsets) {
    startingOffsets = Objects.requireNonNull(offsets);
    return this;
  }

  /** Ends at what is there when the job starts; primary-key tables must start with full. */
  public FlussSourceBuilder setBounded() {
    bounded = true;
    return this;
  }

  /** A {@code client.*} option. */
  public FlussSourceBuilder setOption(String key, String value) {
    OptionCheck.checkIsSet(value, "a value for option '" + key + "'");
    options.put(key, value);
    return this;
  }

  public FlussSourceBuilder setOptions(Map<String, String> more) {
    more.forEach(this::setOption);
    return this;
  }

  /**
   * A source of {@link Row}s with change kinds; see {@code RowConverter} for the classes of values.
   */
  public FlussSource<Row> build() {
    ScanSpec spec = spec();
    return new FlussSource<>(spec, new RowDeserializer(spec.producedType()));
  }

  /** The same source in Flink's internal format. */
  public FlussSource<RowData> buildForRowData() {
    ScanSpec spec = spec();
    return new FlussSource<>(
        spec, new RowDataDeserializer(InternalTypeInfo.of(spec.producedType())));
  }

  private ScanSpec spec() {
    OptionCheck.checkIsSet(
        options.get(FlussConnectorOptions.BOOTSTRAP_SERVERS.key()), "setBootstrapServers");
    OptionCheck.checkIsSet(database, "setDatabase");
    OptionCheck.checkIsSet(table, "setTable");
    OptionCheck.checkBuilder(options, FlussConnectorOptions.CLIENT_PREFIX);
    ClientOptions clientOptions = ClientOptions.fromMap(options);
    TablePath path = new TablePath(database, table);
    TableInfo info;
    try (FlussClient client = FlussClient.connect(clientOptions)) {
      info = client.getTable(path);
    }
    if (bounded && info.hasPrimaryKey() && startingOffsets.kind() != OffsetsInitializer.Kind.FULL) {
      throw new IllegalArgumentException(
          "A bounded source reads a primary-key table from 'full' only, not from "
              + startingOffsets
              + ".");
    }
    ScanSpec spec =
        ScanSpec.scan(clientOptions, path, project(info.rowType()), startingOffsets, bounded);
    return bounded || !info.isPartitioned()
        ? spec
        : spec.discovering(
            FlussConnectorOptions.SCAN_PARTITION_DISCOVERY_INTERVAL.defaultValue().toMillis());
  }

  private RowType project(RowType all) {
    if (projectedFields == null) {
      return all;
    }
    List<RowType.RowField> fields = new ArrayList<>();
    for (String name : projectedFields) {
      int index = all.getFieldIndex(name);
      if (index < 0) {
        throw new IllegalArgumentException(
            String.format(
                "Table %s.%s has no column '%s'; its columns are %s.",
                database, table, name, all.getFieldNames()));
      }
      fields.add(all.getFields().get(index));
    }
    return new RowType(fields);
  }
}
