package io.fluss.flink.catalog;

import io.fluss.client.ConfigChange;
import io.fluss.flink.table.FlussConnectorOptions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.apache.flink.table.catalog.TableChange;
import org.apache.flink.table.catalog.WatermarkSpec;
import org.apache.flink.table.catalog.exceptions.CatalogException;

/**
 * ALTER TABLE as changes of options: options themselves, and the watermark, which is stored as
 * options.
 */
final class TableChanges {

  private static final List<String> FIXED =
      Arrays.asList(
          FlussConnectorOptions.BUCKET_NUM.key(),
          FlussConnectorOptions.BUCKET_KEY.key(),
          FlussConnectorOptions.BOOTSTRAP_SERVERS.key());

  private TableChanges() {}

  /**
   * @throws CatalogException for an option that cannot change
   * @throws UnsupportedOperationException for any other kind of change
   */
  static List<ConfigChange> convert(List<TableChange> changes) {
    List<ConfigChange> converted = new ArrayList<>();
    for (TableChange change : changes) {
      converted.addAll(convert(change));
    }
    return converted;
  }

  private static List<ConfigChange> convert(TableChange change) {
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
            + ". Options and the watermark can be.");
  }

  private static String changeable(String key) {
    if (FIXED.contains(key)) {
      throw new CatalogException("Option '" + key + "' cannot be changed.");
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
