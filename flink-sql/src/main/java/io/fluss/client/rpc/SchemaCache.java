package io.fluss.client.rpc;

import io.fluss.client.ApiKey;
import io.fluss.client.TableInfo;
import io.fluss.client.json.MetadataJson;
import io.fluss.rpc.proto.GetTableSchemaRequest;
import io.fluss.rpc.proto.GetTableSchemaResponse;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.flink.table.types.logical.RowType;

/**
 * Schema versions of tables. Rows and batches keep the schema id they were written with, also when
 * columns were added later; the newest version comes with the {@link TableInfo}, others are
 * requested for once. Thread-safe.
 */
public final class SchemaCache {
  private final ClientContext context;
  private final Map<Key, CompletableFuture<Schema>> schemas = new ConcurrentHashMap<>();

  /** Columns of one schema version. */
  public static final class Schema {
    private final int id;
    private final RowType rowType;
    private final List<Integer> columnIds;

    private Schema(int id, RowType rowType, List<Integer> columnIds) {
      this.id = id;
      this.rowType = rowType;
      this.columnIds = columnIds;
    }

    public int id() {
      return id;
    }

    public RowType rowType() {
      return rowType;
    }

    /** Positions in this schema of columns of a table, -1 where it does not have the column. */
    public int[] positionsOf(TableInfo table, int[] columns) {
      int[] result = new int[columns.length];
      for (int i = 0; i < columns.length; i++) {
        result[i] = columnIds.indexOf(table.columnIds().get(columns[i]));
      }
      return result;
    }
  }

  private static final class Key {
    private final long tableId;
    private final int schemaId;

    Key(long tableId, int schemaId) {
      this.tableId = tableId;
      this.schemaId = schemaId;
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof Key
          && tableId == ((Key) other).tableId
          && schemaId == ((Key) other).schemaId;
    }

    @Override
    public int hashCode() {
      return Objects.hash(tableId, schemaId);
    }
  }

  SchemaCache(ClientContext context) {
    this.context = context;
  }

  /** The schema of a table with this id; waits for a server if it is not known yet. */
  public Schema await(TableInfo table, int schemaId) {
    return context.callAny(node -> get(table, schemaId, node));
  }

  /** The schema of a table with this id. */
  public CompletableFuture<Schema> get(TableInfo table, int schemaId) {
    return get(table, schemaId, context.cluster().candidates().get(0));
  }

  private CompletableFuture<Schema> get(TableInfo table, int schemaId, Node node) {
    if (schemaId == table.schemaId()) {
      return CompletableFuture.completedFuture(
          new Schema(schemaId, table.rowType(), table.columnIds()));
    }
    Key key = new Key(table.tableId(), schemaId);
    CompletableFuture<Schema> known = schemas.get(key);
    if (known == null || known.isCompletedExceptionally()) {
      known = ask(table, schemaId, node);
      schemas.put(key, known);
    }
    return known;
  }

  private CompletableFuture<Schema> ask(TableInfo table, int schemaId, Node node) {
    GetTableSchemaRequest request =
        GetTableSchemaRequest.newBuilder()
            .setTablePath(Cluster.toProto(table.path()))
            .setSchemaId(schemaId)
            .build();
    return context
        .network()
        .call(node, ApiKey.GET_TABLE_SCHEMA, request, GetTableSchemaResponse.parser())
        .thenApply(
            response -> {
              MetadataJson.Schema schema =
                  MetadataJson.schemaFromJson(response.getSchemaJson().toByteArray());
              return new Schema(schemaId, schema.rowType(), schema.columnIds());
            });
  }
}
