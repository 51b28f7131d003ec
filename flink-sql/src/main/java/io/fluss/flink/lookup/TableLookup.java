package io.fluss.flink.lookup;

import io.fluss.client.FlussClient;
import io.fluss.client.Lookuper;
import io.fluss.client.PrefixLookuper;
import io.fluss.client.TableInfo;
import java.util.Collection;
import java.util.Collections;
import java.util.concurrent.CompletableFuture;
import javax.annotation.Nullable;
import org.apache.flink.table.data.RowData;

/** The connection of one lookup function: finds the rows for the values of a join. */
final class TableLookup implements AutoCloseable {

  private final FlussClient client;
  private final LookupRows rows;
  @Nullable private final Lookuper lookuper;
  @Nullable private final PrefixLookuper prefixLookuper;

  TableLookup(LookupSpec spec) {
    client = FlussClient.connect(spec.clientOptions());
    try {
      TableInfo table = client.getTable(spec.path());
      rows = new LookupRows(spec, table);
      lookuper = spec.plan().isPrefix() ? null : client.newLookuper(table);
      prefixLookuper = spec.plan().isPrefix() ? client.newPrefixLookuper(table) : null;
    } catch (RuntimeException e) {
      client.close();
      throw e;
    }
  }

  CompletableFuture<Collection<RowData>> lookup(RowData values) {
    RowData key = rows.key(values);
    if (key == null) {
      return CompletableFuture.completedFuture(Collections.emptyList());
    }
    if (lookuper != null) {
      return lookuper
          .lookup(key)
          .thenApply(
              row ->
                  row == null
                      ? Collections.emptyList()
                      : rows.matching(values, Collections.singletonList(row)));
    }
    return prefixLookuper.lookup(key).thenApply(found -> rows.matching(values, found));
  }

  @Override
  public void close() {
    client.close();
  }
}
