package io.fluss.flink.lookup;

import io.fluss.client.ClientOptions;
import io.fluss.client.TablePath;
import java.io.Serializable;
import org.apache.flink.table.types.logical.RowType;

/** What a lookup function asks: table, columns, and how. Immutable. */
public final class LookupSpec implements Serializable {

  private static final long serialVersionUID = 1L;

  private final ClientOptions clientOptions;
  private final TablePath path;
  private final RowType producedType;
  private final LookupPlan plan;

  public LookupSpec(
      ClientOptions clientOptions, TablePath path, RowType producedType, LookupPlan plan) {
    this.clientOptions = clientOptions;
    this.path = path;
    this.producedType = producedType;
    this.plan = plan;
  }

  ClientOptions clientOptions() {
    return clientOptions;
  }

  TablePath path() {
    return path;
  }

  RowType producedType() {
    return producedType;
  }

  LookupPlan plan() {
    return plan;
  }
}
