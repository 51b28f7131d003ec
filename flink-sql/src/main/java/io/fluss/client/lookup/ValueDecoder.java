package io.fluss.client.lookup;

import io.fluss.client.TableInfo;
import io.fluss.client.row.Bytes;
import io.fluss.client.row.RowDecoder;
import io.fluss.client.row.RowFormat;
import io.fluss.client.rpc.ClientContext;
import io.fluss.client.rpc.RawBytes;
import io.fluss.client.rpc.SchemaCache;
import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.flink.table.data.RowData;
import org.apache.flink.types.RowKind;

/**
 * Stored values of a primary-key table to rows with all its columns, whatever schema version they
 * were written with. Thread-safe.
 */
public final class ValueDecoder {
  private final ClientContext context;
  private final TableInfo table;
  private final RowFormat format;
  private final Map<Integer, RowDecoder> decoders = new ConcurrentHashMap<>();

  public ValueDecoder(ClientContext context, TableInfo table) {
    this.context = context;
    this.table = table;
    this.format = RowFormat.of(table.properties().getOrDefault("table.kv.format", "COMPACTED"));
    decoders.put(table.schemaId(), new RowDecoder(format, table.rowType().getChildren()));
  }

  /** Schema id of a value: its first two bytes. */
  static int schemaId(RawBytes value) {
    if (value.length() < 2) {
      throw Bytes.corrupt("a stored value has only " + value.length() + " bytes");
    }
    return Bytes.getShort(value.data(), value.offset());
  }

  /** Whether values of this schema can be decoded without asking the server first. */
  boolean knows(int schemaId) {
    return decoders.containsKey(schemaId);
  }

  /** Makes {@link #decode} able to read values of the schema. */
  CompletableFuture<Void> learn(int schemaId) {
    return context.schemas().get(table, schemaId).thenAccept(this::add);
  }

  /** {@link #learn}, waiting for the response. */
  void learnNow(int schemaId) {
    add(context.schemas().await(table, schemaId));
  }

  private void add(SchemaCache.Schema schema) {
    int[] columns = new int[table.rowType().getFieldCount()];
    Arrays.setAll(columns, i -> i);
    decoders.put(
        schema.id(),
        new RowDecoder(
            format,
            schema.rowType().getChildren(),
            schema.positionsOf(table, columns),
            table.rowType().getChildren()));
  }

  /** The row of a value, schema id included. */
  RowData decode(RawBytes value) {
    return decode(schemaId(value), value.data(), value.offset() + 2, value.length() - 2);
  }

  /** The row of row bytes written with a schema that is known. */
  public RowData decode(int schemaId, byte[] data, int offset, int length) {
    RowDecoder decoder = decoders.get(schemaId);
    if (decoder == null) {
      learnNow(schemaId);
      decoder = decoders.get(schemaId);
    }
    return decoder.decode(data, offset, length, RowKind.INSERT);
  }
}
