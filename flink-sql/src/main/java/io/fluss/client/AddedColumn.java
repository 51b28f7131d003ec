package io.fluss.client;

import java.util.Objects;
import java.util.Optional;
import org.apache.flink.table.types.logical.LogicalType;

/** A column that is to be added at the end of a table. */
public final class AddedColumn {
  private final String name;
  private final LogicalType type;
  private final String comment;

  /**
   * @param comment null for none
   */
  public AddedColumn(String name, LogicalType type, String comment) {
    this.name = Objects.requireNonNull(name, "name");
    this.type = Objects.requireNonNull(type, "type");
    this.comment = comment;
  }

  public String name() {
    return name;
  }

  public LogicalType type() {
    return type;
  }

  public Optional<String> comment() {
    return Optional.ofNullable(comment);
  }
}
