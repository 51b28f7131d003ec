package io.fluss.flink.catalog;

import io.fluss.flink.table.FlussConnectorOptions;
import io.fluss.flink.table.OptionCheck;
import java.util.Collections;
import java.util.Map;
import java.util.Set;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.table.catalog.Catalog;
import org.apache.flink.table.factories.CatalogFactory;
import org.apache.flink.table.factories.FactoryUtil;

/** {@code CREATE CATALOG c WITH ('type' = 'fluss', 'bootstrap.servers' = 'host:port')}. */
public final class FlussCatalogFactory implements CatalogFactory {

  public static final String IDENTIFIER = "fluss";

  public static final ConfigOption<String> DEFAULT_DATABASE =
      ConfigOptions.key("default-database")
          .stringType()
          .defaultValue("fluss")
          .withDescription("The database that is current after USE CATALOG; it must exist.");

  @Override
  public String factoryIdentifier() {
    return IDENTIFIER;
  }

  @Override
  public Set<ConfigOption<?>> requiredOptions() {
    return Collections.singleton(FlussConnectorOptions.BOOTSTRAP_SERVERS);
  }

  @Override
  public Set<ConfigOption<?>> optionalOptions() {
    return Set.of(DEFAULT_DATABASE, FactoryUtil.PROPERTY_VERSION);
  }

  @Override
  public Catalog createCatalog(Context context) {
    FactoryUtil.CatalogFactoryHelper helper = FactoryUtil.createCatalogFactoryHelper(this, context);
    helper.validateExcept(FlussConnectorOptions.CLIENT_PREFIX);
    Map<String, String> clientOptions = FlussConnectorOptions.clientOptions(context.getOptions());
    OptionCheck.checkCatalog(clientOptions);
    return new FlussCatalog(
        context.getName(), helper.getOptions().get(DEFAULT_DATABASE), clientOptions);
  }
}
