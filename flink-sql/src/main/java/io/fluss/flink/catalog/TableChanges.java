package io.fluss.flink.catalog;

import io.fluss.client.AddedColumn;
import io.fluss.client.ConfigChange;
import io.fluss.flink.table.FlussConnectorOptions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.apache.flink.table.catalog.Column;
import org.apache.flink.table.catalog.TableChange;
import org.apache.flink.table.catalog.WatermarkSpec;
import org.apache.flink.table.catalog.exceptions.CatalogException;

/**
 * ALTER TABLE as changes of options (options themselves, and the watermark, which is stored as
 * options) or as new columns at the end. Fluss makes one of the two at a time.
 */
final class TableChanges {

  private static final List<String> FIXED =
      Arrays.asList(
          FlussConnectorOptions.BUCKET_NUM.key(),
          FlussConnectorOptions.BUCKET_KEY.key(),
          FlussConnectorOptions.AUTO_INCREMENT_FIELDS.key(),
          FlussConnectorOptions.BOOTSTRAP_SERVERS.key());

  private final List<ConfigChange> options = new ArrayList<>();
  private final List<AddedColumn> columns = new ArrayList<>();

  private TableChanges() {}

  /**
   * @throws CatalogException for an option that cannot change, and for options and columns at once
   * @throws UnsupportedOperationException for any other kind of change
   */
  static TableChanges of(List<TableChange> changes) {
    TableChanges converted = new TableChanges();
    for (TableChange change : changes) {
      if (change instanceof TableChange.AddColumn) {
        converted.columns.add(column((TableChange.AddColumn) change));
      } else {
        converted.options.addAll(option(change));
      }
    }
    if (!converted.columns.isEmpty() && !converted.options.isEmpty()) {
      throw new CatalogException(
          "Columns cannot be added together with other changes. Use one ALTER TABLE for each.");
    }
    return converted;
  }

  /** Empty when there are columns. */
  List<ConfigChange> options() {
    return options;
  }

  List<AddedColumn> columns() {
    return columns;
  }

  private static AddedColumn column(TableChange.AddColumn change) {
    Column column = change.getColumn();
    if (!column.isPhysical()) {
      throw new UnsupportedOperationException(
          "Column '" + column.getName() + "' is computed, and only physical columns can be added.");
    }
    if (change.getPosition() != null) {
      throw new UnsupportedOperationException(
          "Column '" + column.getName() + "' can only be added at the end.");
    }
    return new AddedColumn(
        column.getName(), column.getDataType().getLogicalType(), column.getComment().orElse(null));
  }

  private static List<ConfigChange> option(TableChange change) {
    if (change instanceof TableChange.SetOption) {
      TableChange.SetOption set = (TableChange.SetOption) change;
      return Collections.singletonList(ConfigChange.set(changeable(set.getKey()), set.getValue()));
    }
    if (change instanceof TableChange.ResetOption) {
      String key = ((TableChange.ResetOption) change).getKey();
      return Collections.singletonList(ConfigChange.reset(changeable(key)));
    }
    if (change instanceof TableChange.AddWatermark) {
      return watermark(((TableChange.AddWatermark) change).getWatermark());
    }
    if (change instanceof TableChange.ModifyWatermark) {
      return watermark(((TableChange.ModifyWatermark) change).getNewWatermark());
    }
    if (change instanceof TableChange.DropWatermark) {
      return TableMapping.withoutWatermark();
    }
    throw new UnsupportedOperationException(
        "Fluss tables cannot be altered in this way yet: "
            + change.getClass().getSimpleName()
            + ". Options and the watermark can be, and columns can be added.");
  }

  private static String changeable(String key) {
    if (FIXED.contains(key)) {
      throw new CatalogException("Option '" + key + "' cannot be changed.");
    }
    if (AggregationOptions.isInGroup(key)) {
      throw new CatalogException(
          "Option '"
              + key
              + "' cannot be changed: the aggregation function of a column is set when the table is"
              + " created.");
    }
    return key;
  }

  private static List<ConfigChange> watermark(WatermarkSpec watermark) {
    List<ConfigChange> changes = new ArrayList<>();
    TableMapping.watermarks(Collections.singletonList(watermark))
        .forEach((key, value) -> changes.add(ConfigChange.set(key, value)));
    return changes;
  }
}
