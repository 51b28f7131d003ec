package io.fluss.flink.sink;

import io.fluss.client.ClientOptions;
import io.fluss.client.TablePath;
import java.io.Serializable;
import java.util.Objects;
import javax.annotation.Nullable;
import org.apache.flink.table.types.logical.RowType;

/** What a sink writes: table, columns, and how changes are applied. Immutable. */
public final class SinkSpec implements Serializable {

  private static final long serialVersionUID = 1L;

  private final ClientOptions clientOptions;
  private final TablePath path;
  private final boolean upsert;
  private final RowType inputType;
  @Nullable private final String[] targetColumns;
  private final boolean ignoreDelete;

  /**
   * @param upsert whether the table was planned with a primary key
   * @param inputType names and types of the fields of the rows that arrive
   * @param targetColumns the columns to update, the key among them; null for all
   * @param ignoreDelete drop -U and -D rows
   */
  public SinkSpec(
      ClientOptions clientOptions,
      TablePath path,
      boolean upsert,
      RowType inputType,
      @Nullable String[] targetColumns,
      boolean ignoreDelete) {
    this.clientOptions = Objects.requireNonNull(clientOptions);
    this.path = Objects.requireNonNull(path);
    this.upsert = upsert;
    this.inputType = Objects.requireNonNull(inputType);
    this.targetColumns = targetColumns == null ? null : targetColumns.clone();
    this.ignoreDelete = ignoreDelete;
  }

  ClientOptions clientOptions() {
    return clientOptions;
  }

  TablePath path() {
    return path;
  }

  boolean isUpsert() {
    return upsert;
  }

  RowType inputType() {
    return inputType;
  }

  @Nullable
  String[] targetColumns() {
    return targetColumns == null ? null : targetColumns.clone();
  }

  boolean ignoresDelete() {
    return ignoreDelete;
  }
}
