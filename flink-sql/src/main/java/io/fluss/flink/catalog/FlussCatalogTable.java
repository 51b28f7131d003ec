package io.fluss.flink.catalog;

import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.apache.flink.table.api.Schema;
import org.apache.flink.table.catalog.CatalogBaseTable;
import org.apache.flink.table.catalog.CatalogTable;

/**
 * A table as the catalog returns it. Besides what every catalog table has it remembers which option
 * keys are stored with the table, also when a query's hints are merged into the options; so a key
 * misspelt in a hint can be told from a property the user stored.
 */
public final class FlussCatalogTable implements CatalogTable {

  private final CatalogTable table;
  private final Set<String> storedKeys;
  private final List<String> lostFunctions;

  /**
   * @param lostFunctions see {@link #lostFunctions()}
   */
  FlussCatalogTable(CatalogTable table, List<String> lostFunctions) {
    this(table, new HashSet<>(table.getOptions().keySet()), lostFunctions);
  }

  private FlussCatalogTable(
      CatalogTable table, Set<String> storedKeys, List<String> lostFunctions) {
    this.table = table;
    this.storedKeys = storedKeys;
    this.lostFunctions = lostFunctions;
  }

  /** Keys of the options that are stored with the table. */
  public Set<String> storedKeys() {
    return Collections.unmodifiableSet(storedKeys);
  }

  /**
   * Columns that were declared with an aggregation function which did not become part of the
   * schema, as older versions of this connector created them. Nothing is aggregated there.
   */
  public List<String> lostFunctions() {
    return Collections.unmodifiableList(lostFunctions);
  }

  @Override
  public Schema getUnresolvedSchema() {
    return table.getUnresolvedSchema();
  }

  @Override
  public Map<String, String> getOptions() {
    return table.getOptions();
  }

  @Override
  public String getComment() {
    return table.getComment();
  }

  @Override
  public boolean isPartitioned() {
    return table.isPartitioned();
  }

  @Override
  public List<String> getPartitionKeys() {
    return table.getPartitionKeys();
  }

  @Override
  public CatalogBaseTable copy() {
    return copy(new HashMap<>(getOptions()));
  }

  @Override
  public CatalogTable copy(Map<String, String> options) {
    return new FlussCatalogTable(table.copy(options), storedKeys, lostFunctions);
  }

  @Override
  public Optional<String> getDescription() {
    return table.getDescription();
  }

  @Override
  public Optional<String> getDetailedDescription() {
    return table.getDetailedDescription();
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof FlussCatalogTable && table.equals(((FlussCatalogTable) other).table);
  }

  @Override
  public int hashCode() {
    return table.hashCode();
  }

  @Override
  public String toString() {
    return table.toString();
  }
}
