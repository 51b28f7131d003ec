package io.fluss.client.log;

import io.fluss.client.row.RowFormat;
import java.util.Locale;

/** Form of the records of a table's log. */
public enum LogFormat {
  ARROW,
  INDEXED,
  COMPACTED;

  /** The format of an option text of {@code table.log.format}; null means the default. */
  public static LogFormat of(String option) {
    return option == null ? ARROW : valueOf(option.toUpperCase(Locale.ROOT));
  }

  /** Form of the rows of a row-based log. */
  public RowFormat rowFormat() {
    return this == INDEXED ? RowFormat.INDEXED : RowFormat.COMPACTED;
  }
}
