package io.fluss.flink.lookup;

import java.util.Collection;
import java.util.concurrent.CompletableFuture;
import javax.annotation.Nullable;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.functions.AsyncLookupFunction;
import org.apache.flink.table.functions.FunctionContext;

/**
 * Looks rows up without waiting for one response before the next request. Keys that wait at the
 * same time are sent in one request.
 */
public final class FlussAsyncLookupFunction extends AsyncLookupFunction {

  private static final long serialVersionUID = 1L;

  private final LookupSpec spec;
  @Nullable private transient TableLookup lookup;

  public FlussAsyncLookupFunction(LookupSpec spec) {
    this.spec = spec;
  }

  @Override
  public void open(FunctionContext context) {
    lookup = new TableLookup(spec);
  }

  @Override
  public CompletableFuture<Collection<RowData>> asyncLookup(RowData keyRow) {
    return lookup
        .lookup(keyRow)
        .exceptionally(
            e -> {
              throw new LookupFailedException(spec.path(), e);
            });
  }

  @Override
  public void close() {
    if (lookup != null) {
      lookup.close();
    }
  }
}
