package io.fluss.flink.table;

import io.fluss.client.ClientOptions;
import io.fluss.flink.lookup.FlussAsyncLookupFunction;
import io.fluss.flink.lookup.FlussLookupFunction;
import io.fluss.flink.lookup.LookupPlan;
import io.fluss.flink.lookup.LookupSpec;
import io.fluss.flink.source.FlussSource;
import io.fluss.flink.source.OffsetsInitializer;
import io.fluss.flink.source.RowDataDeserializer;
import io.fluss.flink.source.ScanSpec;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import javax.annotation.Nullable;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.table.api.TableException;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.RowLevelModificationScanContext;
import org.apache.flink.table.connector.source.DynamicTableSource;
import org.apache.flink.table.connector.source.LookupTableSource;
import org.apache.flink.table.connector.source.ScanTableSource;
import org.apache.flink.table.connector.source.SourceProvider;
import org.apache.flink.table.connector.source.abilities.SupportsAggregatePushDown;
import org.apache.flink.table.connector.source.abilities.SupportsFilterPushDown;
import org.apache.flink.table.connector.source.abilities.SupportsLimitPushDown;
import org.apache.flink.table.connector.source.abilities.SupportsProjectionPushDown;
import org.apache.flink.table.connector.source.abilities.SupportsRowLevelModificationScan;
import org.apache.flink.table.connector.source.abilities.SupportsWatermarkPushDown;
import org.apache.flink.table.connector.source.lookup.AsyncLookupFunctionProvider;
import org.apache.flink.table.connector.source.lookup.LookupFunctionProvider;
import org.apache.flink.table.connector.source.lookup.LookupOptions;
import org.apache.flink.table.connector.source.lookup.LookupOptions.LookupCacheType;
import org.apache.flink.table.connector.source.lookup.PartialCachingAsyncLookupProvider;
import org.apache.flink.table.connector.source.lookup.PartialCachingLookupProvider;
import org.apache.flink.table.connector.source.lookup.cache.DefaultLookupCache;
import org.apache.flink.table.connector.source.lookup.cache.LookupCache;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.expressions.AggregateExpression;
import org.apache.flink.table.expressions.ResolvedExpression;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.utils.TypeConversions;

/**
 * A Fluss table as a source of Flink SQL: scan and lookup, with what of a query the server can do.
 *
 * <p>Planning never contacts the cluster. A pushed-down limit, primary key or count is requested
 * when the query runs, so a plan stays valid. Predicates are never taken off the query: the same
 * source may end up in a lookup join, where the scan's predicates do not apply (FLINK-38635).
 */
final class FlussTableSource
    implements ScanTableSource,
        LookupTableSource,
        SupportsProjectionPushDown,
        SupportsFilterPushDown,
        SupportsLimitPushDown,
        SupportsAggregatePushDown,
        SupportsWatermarkPushDown,
        SupportsRowLevelModificationScan {

  /** Above it a limited query scans: one response per bucket has to hold all rows. */
  private static final long MAX_PUSHED_LIMIT = 2048;

  private final TableSpec table;
  private final ScanOptions options;

  private DataType producedDataType;
  @Nullable private Object[] primaryKey;
  @Nullable private Long limit;
  private boolean count;
  @Nullable private WatermarkStrategy<RowData> watermarkStrategy;

  FlussTableSource(TableSpec table, ScanOptions options) {
    this.table = table;
    this.options = options;
    this.producedDataType = TypeConversions.fromLogicalToDataType(table.physicalType());
  }

  @Override
  public DynamicTableSource copy() {
    FlussTableSource copy = new FlussTableSource(table, options);
    copy.producedDataType = producedDataType;
    copy.primaryKey = primaryKey;
    copy.limit = limit;
    copy.count = count;
    copy.watermarkStrategy = watermarkStrategy;
    return copy;
  }

  @Override
  public String asSummaryString() {
    return "Fluss table " + table.path();
  }

  // --------------------------------------------------------------------------------------- scan

  @Override
  public ChangelogMode getChangelogMode() {
    return options.isStreaming() ? table.changelogMode() : ChangelogMode.insertOnly();
  }

  @Override
  public ScanRuntimeProvider getScanRuntimeProvider(ScanContext context) {
    RowDataDeserializer deserializer =
        new RowDataDeserializer(context.createTypeInformation(producedDataType));
    ScanSpec spec = scanSpec();
    if (!options.isStreaming()) {
      return SourceProvider.of(new FlussSource<>(spec, deserializer), options.parallelism());
    }
    WatermarkStrategy<RowData> watermarks = watermarkStrategy;
    if (watermarks == null) {
      watermarks = WatermarkStrategy.noWatermarks();
    } else if (!options.idleAfter().isZero()) {
      spec = spec.markingIdle(options.idleAfter().toMillis());
      watermarks = new WatermarksAfterEvents<>(watermarks);
    }
    return new StreamingScanProvider(
        new FlussSource<>(spec, deserializer),
        watermarks,
        "FlussSource-" + table.path(),
        options.parallelism());
  }

  private ScanSpec scanSpec() {
    boolean bounded = !options.isStreaming();
    if (bounded && table.hasPrimaryKey() && !startsFull()) {
      throw new ValidationException(
          String.format(
              "A batch query reads primary-key table %s from 'scan.startup.mode' = 'full' only,"
                  + " not '%s'.",
              table.path(), options.start()));
    }
    ScanSpec spec =
        ScanSpec.scan(
            table.clientOptions(),
            table.path(),
            (RowType) producedDataType.getLogicalType(),
            options.start(),
            bounded);
    if (!bounded && !table.partitionKeys().isEmpty()) {
      return spec.discovering(options.discoveryInterval().toMillis());
    }
    if (count) {
      return spec.counting();
    }
    if (primaryKey != null) {
      return spec.lookingUp(primaryKey);
    }
    return limit == null ? spec : spec.limitedTo(limit);
  }

  private boolean startsFull() {
    return options.start().kind() == OffsetsInitializer.Kind.FULL;
  }

  private boolean readsEverything() {
    return startsFull()
        || !table.hasPrimaryKey() && options.start().kind() == OffsetsInitializer.Kind.EARLIEST;
  }

  // ---------------------------------------------------------------------------------- pushdowns

  @Override
  public boolean supportsNestedProjection() {
    return false;
  }

  @Override
  public void applyProjection(int[][] projectedFields, DataType projectedType) {
    producedDataType = projectedType;
  }

  @Override
  public Result applyFilters(List<ResolvedExpression> filters) {
    List<ResolvedExpression> accepted = new ArrayList<>();
    if (!options.isStreaming() && table.hasPrimaryKey() && startsFull()) {
      KeyLiterals literals = KeyLiterals.of(filters, table.physicalType(), table.primaryKey());
      if (literals.key().isPresent()) {
        primaryKey = literals.key().get();
        accepted = literals.used();
      }
    }
    return Result.of(accepted, filters);
  }

  @Override
  public void applyLimit(long rows) {
    if (!options.isStreaming() && readsEverything() && rows <= MAX_PUSHED_LIMIT && rows > 0) {
      limit = rows;
    }
  }

  @Override
  public boolean applyAggregates(
      List<int[]> groupingSets, List<AggregateExpression> aggregates, DataType aggregatedType) {
    boolean countable =
        !options.isStreaming()
            && readsEverything()
            && primaryKey == null
            && limit == null
            // Without before images the server does not count the rows of the table.
            && (!table.hasPrimaryKey() || table.hasBeforeImages())
            && groupingSets.stream().allMatch(set -> set.length == 0)
            && aggregates.size() == 1
            && countsRows(aggregates.get(0));
    if (countable) {
      count = true;
      producedDataType = aggregatedType;
    }
    return countable;
  }

  /**
   * COUNT(*), or COUNT of a column without nulls. The planner's own functions are known by name.
   */
  private static boolean countsRows(AggregateExpression aggregate) {
    String function = aggregate.getFunctionDefinition().getClass().getSimpleName();
    boolean counts = function.equals("Count1AggFunction") || function.equals("CountAggFunction");
    return counts
        && !aggregate.isDistinct()
        && !aggregate.getFilterExpression().isPresent()
        && aggregate.getArgs().stream()
            .noneMatch(argument -> argument.getOutputDataType().getLogicalType().isNullable());
  }

  @Override
  public void applyWatermark(WatermarkStrategy<RowData> strategy) {
    watermarkStrategy = strategy;
  }

  @Override
  public RowLevelModificationScanContext applyRowLevelModificationScan(
      RowLevelModificationType type, @Nullable RowLevelModificationScanContext previous) {
    return previous;
  }

  // ------------------------------------------------------------------------------------- lookup

  @Override
  public LookupRuntimeProvider getLookupRuntimeProvider(LookupContext context) {
    if (!table.hasPrimaryKey()) {
      throw new TableException(
          "Table " + table.path() + " has no primary key; it cannot be looked up.");
    }
    RowType producedType = (RowType) producedDataType.getLogicalType();
    LookupPlan plan =
        LookupPlan.resolve(
            table.path().toString(),
            table.primaryKey(),
            table.bucketKey(),
            table.partitionKeys(),
            producedType,
            topLevel(context.getKeys()));
    LookupSpec spec = new LookupSpec(lookupClient(), table.path(), producedType, plan);
    LookupCache cache = cache();
    if (options.tableOptions().get(FlussConnectorOptions.LOOKUP_ASYNC)) {
      FlussAsyncLookupFunction function = new FlussAsyncLookupFunction(spec);
      return cache == null
          ? AsyncLookupFunctionProvider.of(function)
          : PartialCachingAsyncLookupProvider.of(function, cache);
    }
    FlussLookupFunction function = new FlussLookupFunction(spec);
    return cache == null
        ? LookupFunctionProvider.of(function)
        : PartialCachingLookupProvider.of(function, cache);
  }

  private ClientOptions lookupClient() {
    Map<String, String> client = FlussConnectorOptions.clientOptions(table.options());
    options
        .tableOptions()
        .getOptional(LookupOptions.MAX_RETRIES)
        .ifPresent(n -> client.putIfAbsent("client.lookup.max-retries", String.valueOf(n)));
    return ClientOptions.fromMap(client);
  }

  private static int[] topLevel(int[][] keys) {
    return Arrays.stream(keys)
        .mapToInt(
            path -> {
              if (path.length != 1) {
                throw new TableException("A lookup by a nested field is not supported.");
              }
              return path[0];
            })
        .toArray();
  }

  @Nullable
  private LookupCache cache() {
    LookupCacheType type = options.tableOptions().get(LookupOptions.CACHE_TYPE);
    switch (type) {
      case NONE:
        return null;
      case PARTIAL:
        return DefaultLookupCache.fromConfig(options.tableOptions());
      default:
        throw new ValidationException(
            "'lookup.cache' = '" + type + "' is not supported; use NONE or PARTIAL.");
    }
  }
}
