package io.fluss.flink.table;

import io.fluss.client.ClientOptions;
import io.fluss.client.TablePath;
import io.fluss.flink.catalog.FlussCatalogFactory;
import io.fluss.flink.catalog.FlussCatalogTable;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.apache.flink.api.common.RuntimeExecutionMode;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.ExecutionOptions;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.catalog.CatalogTable;
import org.apache.flink.table.connector.sink.DynamicTableSink;
import org.apache.flink.table.connector.source.DynamicTableSource;
import org.apache.flink.table.factories.DynamicTableSinkFactory;
import org.apache.flink.table.factories.DynamicTableSourceFactory;
import org.apache.flink.table.factories.FactoryUtil;
import org.apache.flink.table.types.logical.RowType;

/**
 * Sources and sinks of the tables of a {@link io.fluss.flink.catalog.FlussCatalog}, which hands out
 * this factory. It is not registered for 'connector' = 'fluss': a Fluss table is reached through a
 * catalog.
 */
public final class FlussTableFactory implements DynamicTableSourceFactory, DynamicTableSinkFactory {

  private final Map<String, String> catalogOptions;

  /**
   * @param catalogOptions options of every table that does not set them itself
   */
  public FlussTableFactory(Map<String, String> catalogOptions) {
    this.catalogOptions = catalogOptions;
  }

  @Override
  public String factoryIdentifier() {
    return FlussCatalogFactory.IDENTIFIER;
  }

  @Override
  public Set<ConfigOption<?>> requiredOptions() {
    return Collections.singleton(FlussConnectorOptions.BOOTSTRAP_SERVERS);
  }

  @Override
  public Set<ConfigOption<?>> optionalOptions() {
    Set<ConfigOption<?>> options = new HashSet<>(FlussConnectorOptions.all());
    options.remove(FlussConnectorOptions.BOOTSTRAP_SERVERS);
    return options;
  }

  @Override
  public DynamicTableSource createDynamicTableSource(Context context) {
    Map<String, String> options = checkedOptions(context);
    return new FlussTableSource(
        tableSpec(context, options), new ScanOptions(Configuration.fromMap(options), context));
  }

  @Override
  public DynamicTableSink createDynamicTableSink(Context context) {
    Map<String, String> options = checkedOptions(context);
    checkFunctions(context);
    return new FlussTableSink(
        tableSpec(context, options),
        context.getCatalogTable().getResolvedSchema(),
        Configuration.fromMap(options),
        context.getConfiguration().get(ExecutionOptions.RUNTIME_MODE)
            == RuntimeExecutionMode.STREAMING);
  }

  private static void checkFunctions(Context context) {
    CatalogTable origin = context.getCatalogTable().getOrigin();
    if (origin instanceof FlussCatalogTable
        && !((FlussCatalogTable) origin).lostFunctions().isEmpty()) {
      throw new ValidationException(
          String.format(
              "Table %s was created by an older version of the connector, which did not pass the"
                  + " aggregation functions of columns %s to the server: it would keep their last"
                  + " values. Create the table again.",
              context.getObjectIdentifier(), ((FlussCatalogTable) origin).lostFunctions()));
    }
  }

  private Map<String, String> checkedOptions(Context context) {
    Map<String, String> options = new HashMap<>(catalogOptions);
    options.putAll(context.getCatalogTable().getOptions());
    CatalogTable origin = context.getCatalogTable().getOrigin();
    Set<String> stored =
        origin instanceof FlussCatalogTable
            ? new HashSet<>(((FlussCatalogTable) origin).storedKeys())
            : new HashSet<>(options.keySet());
    stored.addAll(catalogOptions.keySet());
    OptionCheck.checkUse(options, stored);
    ReadableConfig config = Configuration.fromMap(options);
    FactoryUtil.validateFactoryOptions(this, config);
    FactoryUtil.validateWatermarkOptions(factoryIdentifier(), config);
    return options;
  }

  private static TableSpec tableSpec(Context context, Map<String, String> options) {
    return new TableSpec(
        new TablePath(
            context.getObjectIdentifier().getDatabaseName(),
            context.getObjectIdentifier().getObjectName()),
        (RowType) context.getPhysicalRowDataType().getLogicalType(),
        context.getPrimaryKeyIndexes(),
        context.getCatalogTable().getPartitionKeys(),
        options,
        ClientOptions.fromMap(FlussConnectorOptions.clientOptions(options)));
  }
}
