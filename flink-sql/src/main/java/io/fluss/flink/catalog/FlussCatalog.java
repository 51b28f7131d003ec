package io.fluss.flink.catalog;

import io.fluss.client.ApiKey;
import io.fluss.client.ClientOptions;
import io.fluss.client.DatabaseDescriptor;
import io.fluss.client.ErrorCode;
import io.fluss.client.FlussClient;
import io.fluss.client.FlussException;
import io.fluss.client.PartitionInfo;
import io.fluss.client.TablePath;
import io.fluss.flink.table.FlussConnectorOptions;
import io.fluss.flink.table.FlussTableFactory;
import io.fluss.flink.table.OptionCheck;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import javax.annotation.Nullable;
import org.apache.flink.table.catalog.AbstractCatalog;
import org.apache.flink.table.catalog.CatalogBaseTable;
import org.apache.flink.table.catalog.CatalogDatabase;
import org.apache.flink.table.catalog.CatalogDatabaseImpl;
import org.apache.flink.table.catalog.CatalogFunction;
import org.apache.flink.table.catalog.CatalogPartition;
import org.apache.flink.table.catalog.CatalogPartitionImpl;
import org.apache.flink.table.catalog.CatalogPartitionSpec;
import org.apache.flink.table.catalog.CatalogTable;
import org.apache.flink.table.catalog.ObjectPath;
import org.apache.flink.table.catalog.ResolvedCatalogTable;
import org.apache.flink.table.catalog.TableChange;
import org.apache.flink.table.catalog.exceptions.CatalogException;
import org.apache.flink.table.catalog.exceptions.DatabaseAlreadyExistException;
import org.apache.flink.table.catalog.exceptions.DatabaseNotEmptyException;
import org.apache.flink.table.catalog.exceptions.DatabaseNotExistException;
import org.apache.flink.table.catalog.exceptions.FunctionNotExistException;
import org.apache.flink.table.catalog.exceptions.PartitionAlreadyExistsException;
import org.apache.flink.table.catalog.exceptions.PartitionNotExistException;
import org.apache.flink.table.catalog.exceptions.PartitionSpecInvalidException;
import org.apache.flink.table.catalog.exceptions.TableAlreadyExistException;
import org.apache.flink.table.catalog.exceptions.TableNotExistException;
import org.apache.flink.table.catalog.exceptions.TableNotPartitionedException;
import org.apache.flink.table.catalog.stats.CatalogColumnStatistics;
import org.apache.flink.table.catalog.stats.CatalogTableStatistics;
import org.apache.flink.table.expressions.Expression;
import org.apache.flink.table.factories.Factory;
import org.apache.flink.table.procedures.Procedure;

/**
 * The databases and tables of a Fluss cluster. Tables that can be read and written come with a
 * factory of their own ({@link #getFactory}), so a table needs no 'connector' option.
 */
public final class FlussCatalog extends AbstractCatalog {

  /**
   * A person waits for the statements of a catalog: unless the catalog sets these itself, they fail
   * after seconds. Jobs keep the longer defaults of the client.
   */
  private static final Map<String, String> INTERACTIVE_TIMEOUTS =
      Map.of(
          "client.connect-timeout", "3 s",
          "client.request-timeout", "10 s",
          "client.retry-timeout", "10 s");

  private final Map<String, String> clientOptions;
  private final CatalogErrors errors;
  @Nullable private FlussClient client;

  /**
   * @param clientOptions {@code bootstrap.servers} and {@code client.*}; defaults of all its tables
   */
  public FlussCatalog(String name, String defaultDatabase, Map<String, String> clientOptions) {
    super(name, defaultDatabase);
    this.clientOptions = Collections.unmodifiableMap(new HashMap<>(clientOptions));
    this.errors = new CatalogErrors(name);
  }

  // --------------------------------------------------------------------------------- life cycle

  @Override
  public void open() {
    if (client != null) {
      return;
    }
    String servers = clientOptions.get(FlussConnectorOptions.BOOTSTRAP_SERVERS.key());
    FlussClient opened = null;
    boolean found;
    try {
      opened = FlussClient.connect(ClientOptions.fromMap(interactive(clientOptions)));
      found = opened.databaseExists(getDefaultDatabase());
    } catch (FlussException e) {
      if (opened != null) {
        opened.close();
      }
      throw new CatalogException(
          String.format(
              "Catalog '%s' cannot reach a Fluss server at bootstrap.servers = %s: %s",
              getName(), servers, e.getMessage()),
          e);
    }
    if (!found) {
      opened.close();
      throw new CatalogException(
          String.format(
              "The configured default-database '%s' does not exist in the Fluss cluster at %s.",
              getDefaultDatabase(), servers));
    }
    client = opened;
  }

  /** The options of the catalog's own client. */
  static Map<String, String> interactive(Map<String, String> clientOptions) {
    Map<String, String> options = new HashMap<>(INTERACTIVE_TIMEOUTS);
    options.putAll(clientOptions);
    return options;
  }

  @Override
  public void close() {
    if (client != null) {
      client.close();
      client = null;
    }
  }

  private FlussClient client() {
    if (client == null) {
      throw new CatalogException("Catalog '" + getName() + "' is not open.");
    }
    return client;
  }

  @Override
  public Optional<Factory> getFactory() {
    return Optional.of(new FlussTableFactory(clientOptions));
  }

  // ---------------------------------------------------------------------------------- databases

  @Override
  public List<String> listDatabases() {
    try {
      return client().listDatabases();
    } catch (FlussException e) {
      throw errors.other("list databases", e);
    }
  }

  @Override
  public CatalogDatabase getDatabase(String name) throws DatabaseNotExistException {
    try {
      DatabaseDescriptor database = client().getDatabase(name).descriptor();
      return new CatalogDatabaseImpl(database.customProperties(), database.comment().orElse(null));
    } catch (FlussException e) {
      throw errors.database("get", name, e);
    }
  }

  @Override
  public boolean databaseExists(String name) {
    try {
      return client().databaseExists(name);
    } catch (FlussException e) {
      throw errors.other("look for database '" + name + "'", e);
    }
  }

  @Override
  public void createDatabase(String name, CatalogDatabase database, boolean ignoreIfExists)
      throws DatabaseAlreadyExistException {
    String comment = database.getComment();
    DatabaseDescriptor descriptor =
        new DatabaseDescriptor(
            comment == null || comment.isEmpty() ? null : comment, database.getProperties());
    try {
      client().createDatabase(name, descriptor, ignoreIfExists);
    } catch (FlussException e) {
      throw errors.createDatabase(name, e);
    }
  }

  @Override
  public void dropDatabase(String name, boolean ignoreIfNotExists, boolean cascade)
      throws DatabaseNotExistException, DatabaseNotEmptyException {
    try {
      client().dropDatabase(name, ignoreIfNotExists, cascade);
    } catch (FlussException e) {
      throw errors.dropDatabase(name, e);
    }
  }

  @Override
  public void alterDatabase(String name, CatalogDatabase newDatabase, boolean ignoreIfNotExists) {
    throw new UnsupportedOperationException("ALTER DATABASE is not supported yet.");
  }

  // ------------------------------------------------------------------------------------- tables

  @Override
  public List<String> listTables(String database) throws DatabaseNotExistException {
    try {
      return client().listTables(database);
    } catch (FlussException e) {
      throw errors.database("list the tables of", database, e);
    }
  }

  @Override
  public List<String> listViews(String database) {
    return Collections.emptyList();
  }

  @Override
  public CatalogBaseTable getTable(ObjectPath path) throws TableNotExistException {
    try {
      return TableMapping.toCatalogTable(client().getTable(tablePath(path)));
    } catch (FlussException e) {
      throw errors.table("get", path, e);
    }
  }

  @Override
  public boolean tableExists(ObjectPath path) {
    try {
      return client().tableExists(tablePath(path));
    } catch (FlussException e) {
      throw errors.other("look for table " + path, e);
    }
  }

  @Override
  public void createTable(ObjectPath path, CatalogBaseTable table, boolean ignoreIfExists)
      throws TableAlreadyExistException, DatabaseNotExistException {
    switch (table.getTableKind()) {
      case TABLE:
        break;
      case VIEW:
        throw new UnsupportedOperationException(
            "A Fluss catalog holds no views; use CREATE TEMPORARY VIEW, or another catalog.");
      default:
        throw new UnsupportedOperationException(
            "A Fluss catalog cannot create a " + table.getTableKind() + " yet.");
    }
    try {
      client()
          .createTable(
              tablePath(path),
              TableMapping.toDescriptor((ResolvedCatalogTable) table),
              ignoreIfExists);
    } catch (FlussException e) {
      throw errors.createTable(path, e);
    }
  }

  @Override
  public void dropTable(ObjectPath path, boolean ignoreIfNotExists) throws TableNotExistException {
    try {
      client().dropTable(tablePath(path), ignoreIfNotExists);
    } catch (FlussException e) {
      throw errors.table("drop", path, e);
    }
  }

  @Override
  public void renameTable(ObjectPath path, String newName, boolean ignoreIfNotExists) {
    throw new UnsupportedOperationException("Fluss tables cannot be renamed.");
  }

  @Override
  public void alterTable(ObjectPath path, CatalogBaseTable newTable, boolean ignoreIfNotExists) {
    throw new UnsupportedOperationException(
        "A Fluss table is altered by single changes, not by a new definition.");
  }

  @Override
  public void alterTable(
      ObjectPath path,
      CatalogBaseTable newTable,
      List<TableChange> changes,
      boolean ignoreIfNotExists)
      throws TableNotExistException {
    OptionCheck.checkChangedOptions(setOptions(changes));
    TableChanges converted = TableChanges.of(changes);
    if (!client().supports(ApiKey.ALTER_TABLE)) {
      throw new UnsupportedOperationException("The Fluss server does not support ALTER TABLE.");
    }
    try {
      if (converted.columns().isEmpty()) {
        client().alterTable(tablePath(path), converted.options(), ignoreIfNotExists);
      } else {
        client().addColumns(tablePath(path), converted.columns(), ignoreIfNotExists);
      }
    } catch (FlussException e) {
      throw errors.table("alter", path, e);
    }
  }

  private static List<String> setOptions(List<TableChange> changes) {
    List<String> keys = new ArrayList<>();
    for (TableChange change : changes) {
      if (change instanceof TableChange.SetOption) {
        keys.add(((TableChange.SetOption) change).getKey());
      }
    }
    return keys;
  }

  private static TablePath tablePath(ObjectPath path) {
    return new TablePath(path.getDatabaseName(), path.getObjectName());
  }

  // --------------------------------------------------------------------------------- partitions

  @Override
  public List<CatalogPartitionSpec> listPartitions(ObjectPath path)
      throws TableNotExistException, TableNotPartitionedException {
    return partitions(path, Collections.emptyMap());
  }

  @Override
  public List<CatalogPartitionSpec> listPartitions(ObjectPath path, CatalogPartitionSpec spec)
      throws TableNotExistException, TableNotPartitionedException {
    return partitions(path, spec.getPartitionSpec());
  }

  private List<CatalogPartitionSpec> partitions(ObjectPath path, Map<String, String> spec)
      throws TableNotExistException, TableNotPartitionedException {
    try {
      List<String> keys = client().getTable(tablePath(path)).partitionKeys();
      List<CatalogPartitionSpec> result = new ArrayList<>();
      List<PartitionInfo> partitions = client().listPartitions(tablePath(path), spec);
      partitions.sort(Comparator.comparing(PartitionInfo::name));
      for (PartitionInfo partition : partitions) {
        Map<String, String> values = new LinkedHashMap<>();
        for (int i = 0; i < keys.size(); i++) {
          values.put(keys.get(i), partition.values().get(i));
        }
        result.add(new CatalogPartitionSpec(values));
      }
      return result;
    } catch (FlussException e) {
      throw errors.partitions("list partitions of", path, e);
    }
  }

  /** Flink falls back to a filter of its own. */
  @Override
  public List<CatalogPartitionSpec> listPartitionsByFilter(
      ObjectPath path, List<Expression> filters) {
    throw new UnsupportedOperationException("Partitions are not listed by filter.");
  }

  @Override
  public CatalogPartition getPartition(ObjectPath path, CatalogPartitionSpec spec)
      throws PartitionNotExistException {
    if (!partitionExists(path, spec)) {
      throw new PartitionNotExistException(getName(), path, spec);
    }
    return new CatalogPartitionImpl(Collections.emptyMap(), null);
  }

  @Override
  public boolean partitionExists(ObjectPath path, CatalogPartitionSpec spec) {
    try {
      return partitions(path, spec.getPartitionSpec()).contains(spec);
    } catch (TableNotExistException | TableNotPartitionedException e) {
      return false;
    }
  }

  @Override
  public void createPartition(
      ObjectPath path,
      CatalogPartitionSpec spec,
      CatalogPartition partition,
      boolean ignoreIfExists)
      throws TableNotExistException,
          TableNotPartitionedException,
          PartitionSpecInvalidException,
          PartitionAlreadyExistsException {
    if (!partition.getProperties().isEmpty()) {
      throw new CatalogException("Partitions of Fluss tables have no properties.");
    }
    try {
      client().createPartition(tablePath(path), spec.getPartitionSpec(), ignoreIfExists);
    } catch (FlussException e) {
      throw errors.createPartition(path, keys(path), spec, e);
    }
  }

  private List<String> keys(ObjectPath path) throws TableNotExistException {
    return ((CatalogTable) getTable(path)).getPartitionKeys();
  }

  @Override
  public void dropPartition(ObjectPath path, CatalogPartitionSpec spec, boolean ignoreIfNotExists)
      throws PartitionNotExistException {
    try {
      client().dropPartition(tablePath(path), spec.getPartitionSpec(), ignoreIfNotExists);
    } catch (FlussException e) {
      if (e.code() == ErrorCode.PARTITION_NOT_EXISTS
          || e.code() == ErrorCode.TABLE_NOT_PARTITIONED_EXCEPTION) {
        throw new PartitionNotExistException(getName(), path, spec, e);
      }
      throw errors.other("drop partition " + spec.getPartitionSpec() + " of table " + path, e);
    }
  }

  @Override
  public void alterPartition(
      ObjectPath path,
      CatalogPartitionSpec spec,
      CatalogPartition newPartition,
      boolean ignoreIfNotExists)
      throws PartitionNotExistException {
    throw new PartitionNotExistException(getName(), path, spec);
  }

  // ---------------------------------------------------------------------------------- functions

  @Override
  public List<String> listFunctions(String database) {
    return Collections.emptyList();
  }

  @Override
  public CatalogFunction getFunction(ObjectPath path) throws FunctionNotExistException {
    throw new FunctionNotExistException(getName(), path);
  }

  @Override
  public boolean functionExists(ObjectPath path) {
    return false;
  }

  @Override
  public void createFunction(ObjectPath path, CatalogFunction function, boolean ignoreIfExists) {
    throw noFunctions();
  }

  @Override
  public void alterFunction(
      ObjectPath path, CatalogFunction newFunction, boolean ignoreIfNotExists) {
    throw noFunctions();
  }

  @Override
  public void dropFunction(ObjectPath path, boolean ignoreIfNotExists)
      throws FunctionNotExistException {
    if (!ignoreIfNotExists) {
      throw new FunctionNotExistException(getName(), path);
    }
  }

  private static UnsupportedOperationException noFunctions() {
    return new UnsupportedOperationException(
        "A Fluss catalog holds no functions; use CREATE TEMPORARY FUNCTION, or another catalog.");
  }

  // --------------------------------------------------------------------------------- procedures

  @Override
  public List<String> listProcedures(String database) throws DatabaseNotExistException {
    if (!databaseExists(database)) {
      throw new DatabaseNotExistException(getName(), database);
    }
    return Collections.emptyList();
  }

  @Override
  public Procedure getProcedure(ObjectPath path) {
    throw new CatalogException(
        String.format(
            "There is no procedure %s: a Fluss catalog has none. Permissions and settings of the"
                + " server are changed with the command 'fluss'.",
            path));
  }

  // --------------------------------------------------------------------------------- statistics

  @Override
  public CatalogTableStatistics getTableStatistics(ObjectPath path) {
    return CatalogTableStatistics.UNKNOWN;
  }

  @Override
  public CatalogColumnStatistics getTableColumnStatistics(ObjectPath path) {
    return CatalogColumnStatistics.UNKNOWN;
  }

  @Override
  public CatalogTableStatistics getPartitionStatistics(ObjectPath path, CatalogPartitionSpec spec) {
    return CatalogTableStatistics.UNKNOWN;
  }

  @Override
  public CatalogColumnStatistics getPartitionColumnStatistics(
      ObjectPath path, CatalogPartitionSpec spec) {
    return CatalogColumnStatistics.UNKNOWN;
  }

  @Override
  public void alterTableStatistics(
      ObjectPath path, CatalogTableStatistics statistics, boolean ignoreIfNotExists) {
    throw noStatistics();
  }

  @Override
  public void alterTableColumnStatistics(
      ObjectPath path, CatalogColumnStatistics statistics, boolean ignoreIfNotExists) {
    throw noStatistics();
  }

  @Override
  public void alterPartitionStatistics(
      ObjectPath path,
      CatalogPartitionSpec spec,
      CatalogTableStatistics statistics,
      boolean ignoreIfNotExists) {
    throw noStatistics();
  }

  @Override
  public void alterPartitionColumnStatistics(
      ObjectPath path,
      CatalogPartitionSpec spec,
      CatalogColumnStatistics statistics,
      boolean ignoreIfNotExists) {
    throw noStatistics();
  }

  private static UnsupportedOperationException noStatistics() {
    return new UnsupportedOperationException("A Fluss catalog stores no statistics.");
  }
}
