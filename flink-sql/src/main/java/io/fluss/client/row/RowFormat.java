package io.fluss.client.row;

import java.util.Locale;

/** Binary form of rows in key-value tables and in row-based logs. */
public enum RowFormat {
  COMPACTED,
  INDEXED;

  /** The format of an option text, e.g. of {@code table.kv.format}. */
  public static RowFormat of(String text) {
    return valueOf(text.toUpperCase(Locale.ROOT));
  }
}
