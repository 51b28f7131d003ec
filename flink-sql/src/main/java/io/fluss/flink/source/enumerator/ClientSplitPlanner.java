package io.fluss.flink.source.enumerator;

import io.fluss.client.ApiKey;
import io.fluss.client.FlussClient;
import io.fluss.client.TableInfo;
import io.fluss.flink.source.ScanSpec;
import io.fluss.flink.source.split.FlussSplit;
import java.util.List;

/** Plans the splits of a scan of a running cluster. */
public final class ClientSplitPlanner implements SplitPlanner {

  private final ScanSpec spec;

  public ClientSplitPlanner(ScanSpec spec) {
    this.spec = spec;
  }

  @Override
  public List<FlussSplit> plan() {
    try (FlussClient client = FlussClient.connect(spec.clientOptions())) {
      TableInfo table = client.getTable(spec.path());
      return new SplitPlan(
              spec,
              table,
              client.supports(ApiKey.SCAN_KV),
              offset -> client.listOffsets(table, SplitPlan.buckets(table), offset))
          .splits();
    }
  }
}
