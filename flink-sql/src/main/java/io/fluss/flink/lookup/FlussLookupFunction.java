package io.fluss.flink.lookup;

import java.io.IOException;
import java.util.Collection;
import java.util.concurrent.ExecutionException;
import javax.annotation.Nullable;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.functions.FunctionContext;
import org.apache.flink.table.functions.LookupFunction;

/** Looks rows up one after the other. */
public final class FlussLookupFunction extends LookupFunction {

  private static final long serialVersionUID = 1L;

  private final LookupSpec spec;
  @Nullable private transient TableLookup lookup;

  public FlussLookupFunction(LookupSpec spec) {
    this.spec = spec;
  }

  @Override
  public void open(FunctionContext context) {
    lookup = new TableLookup(spec);
  }

  @Override
  public Collection<RowData> lookup(RowData keyRow) throws IOException {
    try {
      return lookup.lookup(keyRow).get();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException("Interrupted while waiting for a lookup.", e);
    } catch (ExecutionException e) {
      throw new IOException("Lookup in table " + spec.path() + " failed.", e.getCause());
    }
  }

  @Override
  public void close() {
    if (lookup != null) {
      lookup.close();
    }
  }
}
