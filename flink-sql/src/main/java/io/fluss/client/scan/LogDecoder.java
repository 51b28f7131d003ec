package io.fluss.client.scan;

import io.fluss.client.TableInfo;
import io.fluss.client.arrow.Decompressor;
import io.fluss.client.log.LogBatch;
import io.fluss.client.log.LogBatchHeader;
import io.fluss.client.log.LogFormat;
import io.fluss.client.row.Bytes;
import io.fluss.client.row.RowDecoder;
import io.fluss.client.rpc.ClientContext;
import io.fluss.client.rpc.SchemaCache;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.table.types.logical.LogicalType;

/**
 * Log batches of one table to rows with the projected columns, whatever schema version a batch was
 * written with. Not thread-safe.
 */
final class LogDecoder {
  private final ClientContext context;
  private final TableInfo table;
  private final LogFormat format;
  private final boolean checkCrc;

  /** Columns of the rows, as positions in the table; the requested order. */
  private final int[] columns;

  /** Columns that are requested from the server, ascending; null when it sends all of them. */
  private final int[] requested;

  private final Map<Integer, Plan> plans = new HashMap<>();
  private final Decompressor decompressor = new Decompressor();

  /** How to read batches of one schema version. */
  private static final class Plan {
    /** Types of the columns in the batch. */
    private List<LogicalType> types;

    /** Column of the batch per column of the rows, -1 for null. */
    private int[] projection;

    private RowDecoder rows;
  }

  /**
   * @param projectedFields columns of the rows, in the order wanted; null for all
   * @param serverProjection whether only these columns may be requested from the server
   */
  LogDecoder(
      ClientContext context, TableInfo table, int[] projectedFields, boolean serverProjection) {
    this.context = context;
    this.table = table;
    this.format = LogFormat.of(table.properties().get("table.log.format"));
    int fieldCount = table.rowType().getFieldCount();
    this.columns = projectedFields == null ? allColumns(fieldCount) : projectedFields.clone();
    int[] wanted = projectedFields == null ? null : requestedColumns(fieldCount);
    this.requested = serverProjection ? wanted : null;
    this.checkCrc = context.options().checkCrc() && requested == null;
  }

  private static int[] allColumns(int fieldCount) {
    int[] columns = new int[fieldCount];
    Arrays.setAll(columns, i -> i);
    return columns;
  }

  private int[] requestedColumns(int fieldCount) {
    int[] sorted = Arrays.stream(columns).distinct().sorted().toArray();
    if (sorted.length != columns.length
        || sorted.length > 0 && (sorted[0] < 0 || sorted[sorted.length - 1] >= fieldCount)) {
      throw new IllegalArgumentException(
          "projected fields must be different columns of the table: " + Arrays.toString(columns));
    }
    if (format != LogFormat.ARROW || Arrays.equals(columns, allColumns(fieldCount))) {
      return null; // Servers project only Arrow batches.
    }
    // An empty list is refused by servers: rows without columns are counted by one of them.
    return sorted.length == 0 ? new int[] {cheapestColumn()} : sorted;
  }

  private int cheapestColumn() {
    List<LogicalType> types = table.rowType().getChildren();
    for (int i = 0; i < types.size(); i++) {
      switch (types.get(i).getTypeRoot()) {
        case BOOLEAN:
        case TINYINT:
        case SMALLINT:
        case INTEGER:
        case DATE:
        case FLOAT:
        case BIGINT:
        case DOUBLE:
          return i;
        default:
          break;
      }
    }
    return 0;
  }

  /** Columns to ask the server for, ascending; null for all. */
  int[] requested() {
    return requested;
  }

  /** Reads a batch. May wait for the schema it was written with. */
  LogBatch decode(LogBatchHeader header) {
    if (checkCrc && !header.crcMatches()) {
      throw Bytes.corrupt(
          "the checksum of the log batch at offset "
              + header.baseOffset()
              + " of "
              + table.path()
              + " does not match its content");
    }
    Plan plan = plans.get(header.schemaId());
    if (plan == null) {
      plan = plan(context.schemas().await(table, header.schemaId()));
      plans.put(header.schemaId(), plan);
    }
    return format == LogFormat.ARROW
        ? LogBatch.readArrow(header, plan.types, plan.projection, decompressor)
        : LogBatch.readRows(header, plan.rows);
  }

  private Plan plan(SchemaCache.Schema schema) {
    Plan plan = new Plan();
    List<LogicalType> stored = schema.rowType().getChildren();
    int[] positions = schema.positionsOf(table, columns);
    if (requested == null) {
      plan.types = stored;
      plan.projection = positions;
    } else {
      // The server sends the requested columns that this schema version has, in their order.
      List<Integer> sent = new ArrayList<>();
      for (int position : schema.positionsOf(table, requested)) {
        if (position >= 0) {
          sent.add(position);
        }
      }
      plan.types = new ArrayList<>();
      sent.forEach(position -> plan.types.add(stored.get(position)));
      plan.projection = Arrays.stream(positions).map(sent::indexOf).toArray();
    }
    if (format != LogFormat.ARROW) {
      List<LogicalType> outputTypes = new ArrayList<>();
      for (int column : columns) {
        outputTypes.add(table.rowType().getTypeAt(column));
      }
      plan.rows = new RowDecoder(format.rowFormat(), stored, positions, outputTypes);
    }
    return plan;
  }
}
