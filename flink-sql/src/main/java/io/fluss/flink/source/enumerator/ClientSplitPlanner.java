package io.fluss.flink.source.enumerator;

import io.fluss.client.ApiKey;
import io.fluss.client.ErrorCode;
import io.fluss.client.FlussClient;
import io.fluss.client.FlussException;
import io.fluss.client.PartitionInfo;
import io.fluss.client.TableInfo;
import io.fluss.flink.source.ScanSpec;
import io.fluss.flink.source.split.FlussSplit;
import io.fluss.flink.source.split.QuerySplit;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Plans the splits of a scan of a running cluster. */
public final class ClientSplitPlanner implements SplitPlanner {

  private static final Logger LOG = LoggerFactory.getLogger(ClientSplitPlanner.class);

  private final ScanSpec spec;

  public ClientSplitPlanner(ScanSpec spec) {
    this.spec = spec;
  }

  @Override
  public List<FlussSplit> plan() {
    try (FlussClient client = FlussClient.connect(spec.clientOptions())) {
      TableInfo table = client.getTable(spec.path());
      boolean asksTheTable = spec.query() != null && spec.query() != QuerySplit.Query.LIMIT;
      if (!table.isPartitioned() || asksTheTable) {
        return plan(client, spec, Collections.singletonList(table));
      }
      return plan(client, spec, partitions(client, table, Collections.emptySet()));
    }
  }

  @Override
  public List<FlussSplit> planNew(Set<Long> known) {
    try (FlussClient client = FlussClient.connect(spec.clientOptions())) {
      TableInfo table = client.getTable(spec.path());
      return plan(client, spec.fromTheBeginning(), partitions(client, table, known));
    }
  }

  private static List<TableInfo> partitions(
      FlussClient client, TableInfo table, Set<Long> without) {
    List<TableInfo> result = new ArrayList<>();
    for (PartitionInfo partition : client.listPartitions(table.path())) {
      if (!without.contains(partition.id())) {
        result.add(table.only(partition));
      }
    }
    return result;
  }

  private static List<FlussSplit> plan(FlussClient client, ScanSpec spec, List<TableInfo> places) {
    List<FlussSplit> splits = new ArrayList<>();
    if (!places.isEmpty()) {
      boolean scansState = client.supports(ApiKey.SCAN_KV);
      for (TableInfo place : places) {
        try {
          splits.addAll(
              new SplitPlan(
                      spec,
                      place,
                      scansState,
                      offset -> client.listOffsets(place, SplitPlan.buckets(place), offset))
                  .splits());
        } catch (FlussException e) {
          if (e.code() != ErrorCode.PARTITION_NOT_EXISTS || place.partition() == null) {
            throw e;
          }
          LOG.info("Partition {} of {} was dropped meanwhile.", place.partition(), place.path());
        }
      }
    }
    return splits;
  }
}
