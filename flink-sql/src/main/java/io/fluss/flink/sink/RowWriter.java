package io.fluss.flink.sink;

import io.fluss.client.AppendWriter;
import io.fluss.client.FlussClient;
import io.fluss.client.TableInfo;
import io.fluss.client.TableWriter;
import io.fluss.client.UpsertWriter;
import java.io.IOException;
import java.util.Arrays;
import javax.annotation.Nullable;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.RowType;

/** Applies rows to one table, each as its kind says. */
public abstract class RowWriter implements AutoCloseable {

  private final AutoCloseable client;
  private final TableWriter writer;
  private final ColumnAlignment columns;
  private final boolean ignoreDelete;

  private RowWriter(
      AutoCloseable client, TableWriter writer, ColumnAlignment columns, boolean ignoreDelete) {
    this.client = client;
    this.writer = writer;
    this.columns = columns;
    this.ignoreDelete = ignoreDelete;
  }

  /** Opens the table with a client of its own. */
  public static RowWriter connect(SinkSpec spec) {
    FlussClient client = FlussClient.connect(spec.clientOptions());
    try {
      TableInfo table = client.getTable(spec.path());
      if (table.hasPrimaryKey() != spec.isUpsert()) {
        throw new ValidationException(
            String.format(
                "Table %s %s a primary key now, other than when the query was planned.",
                spec.path(), table.hasPrimaryKey() ? "has" : "has no longer"));
      }
      boolean keyOnly =
          spec.isUpsert() && table.primaryKey().containsAll(spec.inputType().getFieldNames());
      ColumnAlignment columns =
          new ColumnAlignment(table, spec.inputType(), spec.targetColumns(), keyOnly);
      return table.hasPrimaryKey()
          ? upserts(
              client,
              client.newUpsertWriter(table, targets(table, spec.targetColumns())),
              columns,
              spec.ignoresDelete())
          : appends(client, client.newAppendWriter(table), columns, spec.ignoresDelete());
    } catch (RuntimeException e) {
      client.close();
      throw e;
    }
  }

  /** A writer to a primary-key table that closes {@code client} with it. */
  static RowWriter upserts(
      AutoCloseable client, UpsertWriter writer, ColumnAlignment columns, boolean ignoreDelete) {
    return new Upserts(client, writer, columns, ignoreDelete);
  }

  /** A writer to a log table that closes {@code client} with it. */
  static RowWriter appends(
      AutoCloseable client, AppendWriter writer, ColumnAlignment columns, boolean ignoreDelete) {
    return new Appends(client, writer, columns, ignoreDelete);
  }

  @Nullable
  private static int[] targets(TableInfo table, @Nullable String[] names) {
    if (names == null) {
      return null;
    }
    RowType type = table.rowType();
    return Arrays.stream(names).mapToInt(type::getFieldIndex).sorted().toArray();
  }

  /**
   * Applies one row.
   *
   * @return whether it was written, not dropped
   */
  final boolean write(RowData row) throws IOException {
    boolean insert;
    switch (row.getRowKind()) {
      case INSERT:
      case UPDATE_AFTER:
        insert = true;
        break;
      default:
        if (ignoreDelete) {
          return false;
        }
        insert = false;
    }
    apply(columns.align(row), insert);
    return true;
  }

  abstract void apply(RowData row, boolean insert) throws IOException;

  /** Waits until all rows are acknowledged. */
  final void flush() throws IOException {
    writer.flush();
  }

  /** Bytes sent since the writer was opened. */
  final long bytesSent() {
    return writer.bytesSent();
  }

  @Override
  public final void close() throws Exception {
    try {
      writer.close();
    } finally {
      client.close();
    }
  }

  /** Rows of a log table; the log holds what arrives, whatever its kind. */
  private static final class Appends extends RowWriter {
    private final AppendWriter writer;

    Appends(
        AutoCloseable client, AppendWriter writer, ColumnAlignment columns, boolean ignoreDelete) {
      super(client, writer, columns, ignoreDelete);
      this.writer = writer;
    }

    @Override
    void apply(RowData row, boolean insert) throws IOException {
      writer.append(row);
    }
  }

  /** Rows of a primary-key table. */
  private static final class Upserts extends RowWriter {
    private final UpsertWriter writer;

    Upserts(
        AutoCloseable client, UpsertWriter writer, ColumnAlignment columns, boolean ignoreDelete) {
      super(client, writer, columns, ignoreDelete);
      this.writer = writer;
    }

    @Override
    void apply(RowData row, boolean insert) throws IOException {
      if (insert) {
        writer.upsert(row);
      } else {
        writer.delete(row);
      }
    }
  }
}
