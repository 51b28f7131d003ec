package io.fluss.flink.sink;

import io.fluss.client.ClientOptions;
import io.fluss.client.FlussClient;
import io.fluss.client.TableInfo;
import io.fluss.client.TablePath;
import io.fluss.flink.row.RowConverter.SqlDates;
import io.fluss.flink.table.FlussConnectorOptions;
import io.fluss.flink.table.FlussConnectorOptions.DistributionMode;
import io.fluss.flink.table.OptionCheck;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import javax.annotation.Nullable;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.types.Row;

/**
 * Builds a {@link FlussSink} for the DataStream API. Servers, database and table are required;
 * {@code build} connects to read the table's columns.
 *
 * <p>The rows have all columns of the table in its order, or those of {@link
 * #setPartialUpdateColumns} in that order; rows with field names are read by name.
 */
public final class FlussSinkBuilder {

  private final Map<String, String> options = new HashMap<>();
  private String database;
  private String table;
  @Nullable private String[] partialUpdateColumns;

  FlussSinkBuilder() {}

  /** Comma-separated host:port list of Fluss servers. */
  public FlussSinkBuilder setBootstrapServers(String bootstrapServers) {
    return setOption(FlussConnectorOptions.BOOTSTRAP_SERVERS.key(), bootstrapServers);
  }

  public FlussSinkBuilder setDatabase(String name) {
    database = name;
    return this;
  }

  public FlussSinkBuilder setTable(String name) {
    table = name;
    return this;
  }

  /** Update only these columns of a primary-key table, the key among them. */
  public FlussSinkBuilder setPartialUpdateColumns(String... names) {
    partialUpdateColumns = names.clone();
    return this;
  }

  /** A {@code client.*} or {@code sink.*} option. */
  public FlussSinkBuilder setOption(String key, String value) {
    OptionCheck.checkIsSet(value, "a value for option '" + key + "'");
    options.put(key, value);
    return this;
  }

  public FlussSinkBuilder setOptions(Map<String, String> more) {
    more.forEach(this::setOption);
    return this;
  }

  /** A sink of {@link Row}s; their kind says whether they are written or deleted. */
  public FlussSink<Row> build() {
    TableInfo info = tableInfo();
    RowType inputType = inputType(info);
    return build(info, inputType, new RowRowSerializer(inputType, SqlDates.AMBIGUOUS));
  }

  /** The same sink for PyFlink, whose {@code java.sql.Date} count days as SQL does. */
  public FlussSink<Row> buildForPyFlink() {
    TableInfo info = tableInfo();
    RowType inputType = inputType(info);
    return build(info, inputType, new RowRowSerializer(inputType, SqlDates.GREGORIAN));
  }

  /** The same sink for Flink's internal format. */
  public FlussSink<RowData> buildForRowData() {
    TableInfo info = tableInfo();
    return build(info, inputType(info), new RowDataSerializer());
  }

  private <T> FlussSink<T> build(TableInfo info, RowType inputType, RowSerializer<T> serializer) {
    Configuration config = Configuration.fromMap(options);
    SinkSpec spec =
        new SinkSpec(
            clientOptions(),
            info.path(),
            info.hasPrimaryKey(),
            inputType,
            partialUpdateColumns,
            config.get(FlussConnectorOptions.SINK_IGNORE_DELETE));
    boolean shuffled =
        config.get(FlussConnectorOptions.SINK_DISTRIBUTION_MODE) != DistributionMode.NONE
            && !info.bucketKey().isEmpty();
    BucketShuffle shuffle =
        shuffled ? new BucketShuffle(inputType, info.bucketKey(), info.bucketCount()) : null;
    return new FlussSink<>(spec, serializer, shuffle, false);
  }

  private ClientOptions clientOptions() {
    return ClientOptions.fromMap(FlussConnectorOptions.clientOptions(options));
  }

  private TableInfo tableInfo() {
    OptionCheck.checkIsSet(
        options.get(FlussConnectorOptions.BOOTSTRAP_SERVERS.key()), "setBootstrapServers");
    OptionCheck.checkIsSet(database, "setDatabase");
    OptionCheck.checkIsSet(table, "setTable");
    OptionCheck.checkBuilder(options, FlussConnectorOptions.CLIENT_PREFIX, "sink.");
    try (FlussClient client = FlussClient.connect(clientOptions())) {
      return client.getTable(new TablePath(database, table));
    }
  }

  private RowType inputType(TableInfo info) {
    checkNotGenerated(info);
    if (partialUpdateColumns == null) {
      return info.rowType();
    }
    List<String> names = Arrays.asList(partialUpdateColumns);
    if (!info.hasPrimaryKey() || !names.containsAll(info.primaryKey())) {
      throw new IllegalArgumentException(
          String.format(
              "A partial update needs a primary key and all of its columns %s, not only %s.",
              info.primaryKey(), names));
    }
    List<RowType.RowField> fields = new ArrayList<>();
    for (String name : names) {
      int index = info.rowType().getFieldIndex(name);
      if (index < 0) {
        throw new IllegalArgumentException(
            String.format(
                "Table %s has no column '%s'; its columns are %s.",
                info.path(), name, info.rowType().getFieldNames()));
      }
      fields.add(info.rowType().getFields().get(index));
    }
    return new RowType(false, fields);
  }

  private void checkNotGenerated(TableInfo info) {
    for (String column : info.autoIncrement()) {
      if (partialUpdateColumns == null || Arrays.asList(partialUpdateColumns).contains(column)) {
        throw new IllegalArgumentException(
            String.format(
                "The server generates the values of column '%s' of table %s (auto-increment)."
                    + " Name other columns with setPartialUpdateColumns.",
                column, info.path()));
      }
    }
  }
}
