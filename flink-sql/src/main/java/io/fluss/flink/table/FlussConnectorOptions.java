package io.fluss.flink.table;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.table.connector.source.lookup.LookupOptions;
import org.apache.flink.table.factories.FactoryUtil;

/**
 * Every option of a Fluss table in Flink SQL that the connector itself understands.
 *
 * <p>Three more groups of keys are valid on a table and are not listed here: {@code table.*} are
 * storage properties, checked by the server when the table is created; {@code client.*} are passed
 * to the client, which knows all of them; everything else a table was created with is kept as a
 * custom property and left alone.
 */
public final class FlussConnectorOptions {

  /** Prefix of storage properties: stored and checked by the server, fixed at creation. */
  public static final String TABLE_PREFIX = "table.";

  /** Prefix of the options that are handed to the client. */
  public static final String CLIENT_PREFIX = "client.";

  public static final ConfigOption<String> BOOTSTRAP_SERVERS =
      ConfigOptions.key("bootstrap.servers")
          .stringType()
          .noDefaultValue()
          .withDescription(
              "Comma-separated host:port list of Fluss servers to connect to first. The catalog"
                  + " sets it on every table.");

  public static final ConfigOption<Integer> BUCKET_NUM =
      ConfigOptions.key("bucket.num")
          .intType()
          .noDefaultValue()
          .withDescription(
              "Number of buckets of the table. Default: what the server is configured with.");

  public static final ConfigOption<String> BUCKET_KEY =
      ConfigOptions.key("bucket.key")
          .stringType()
          .noDefaultValue()
          .withDescription(
              "Comma-separated columns whose hash chooses the bucket of a row; for primary-key"
                  + " tables a subset of the primary key. Default: the primary key; for log tables"
                  + " none, rows are spread over the buckets.");

  public static final ConfigOption<String> AUTO_INCREMENT_FIELDS =
      ConfigOptions.key("auto-increment.fields")
          .stringType()
          .noDefaultValue()
          .withDescription(
              "Column of type INT or BIGINT of a primary-key table whose values the server"
                  + " generates. An INSERT names the other columns.");

  public static final ConfigOption<StartupMode> SCAN_STARTUP_MODE =
      ConfigOptions.key("scan.startup.mode")
          .enumType(StartupMode.class)
          .defaultValue(StartupMode.FULL)
          .withDescription(
              "Where a scan starts: 'full' (state first and then the changelog for primary-key"
                  + " tables, the earliest offset for log tables), 'earliest', 'latest' or"
                  + " 'timestamp'.");

  public static final ConfigOption<String> SCAN_STARTUP_TIMESTAMP =
      ConfigOptions.key("scan.startup.timestamp")
          .stringType()
          .noDefaultValue()
          .withDescription(
              "Start of a scan in 'timestamp' mode: epoch milliseconds, or 'yyyy-MM-dd HH:mm:ss'"
                  + " in the time zone of the session.");

  public static final ConfigOption<Duration> SCAN_PARTITION_DISCOVERY_INTERVAL =
      ConfigOptions.key("scan.partition.discovery.interval")
          .durationType()
          .defaultValue(Duration.ofMinutes(1))
          .withDescription(
              "How often a streaming scan of a partitioned table checks for new partitions, which it"
                  + " reads from their beginning; 0 for never.");

  public static final ConfigOption<Boolean> LOOKUP_ASYNC =
      ConfigOptions.key("lookup.async")
          .booleanType()
          .defaultValue(true)
          .withDescription("Whether lookup joins send their requests asynchronously.");

  public static final ConfigOption<Boolean> SINK_IGNORE_DELETE =
      ConfigOptions.key("sink.ignore-delete")
          .booleanType()
          .defaultValue(false)
          .withDescription(
              "Drop -U and -D rows before the sink. Lets a changelog be appended to a log table.");

  public static final ConfigOption<DistributionMode> SINK_DISTRIBUTION_MODE =
      ConfigOptions.key("sink.distribution-mode")
          .enumType(DistributionMode.class)
          .defaultValue(DistributionMode.AUTO)
          .withDescription(
              "How rows reach the sink's subtasks: 'bucket' sends each bucket to one subtask,"
                  + " 'none' keeps Flink's own distribution, 'auto' is 'bucket' for tables with a"
                  + " bucket key and 'none' for others.");

  private static final List<ConfigOption<?>> ALL = buildAll();

  private static List<ConfigOption<?>> buildAll() {
    List<ConfigOption<?>> all = new ArrayList<>();
    Collections.addAll(
        all,
        FactoryUtil.CONNECTOR,
        FactoryUtil.PROPERTY_VERSION,
        BOOTSTRAP_SERVERS,
        BUCKET_NUM,
        BUCKET_KEY,
        AUTO_INCREMENT_FIELDS,
        SCAN_STARTUP_MODE,
        SCAN_STARTUP_TIMESTAMP,
        SCAN_PARTITION_DISCOVERY_INTERVAL,
        LOOKUP_ASYNC,
        LookupOptions.CACHE_TYPE,
        LookupOptions.MAX_RETRIES,
        LookupOptions.PARTIAL_CACHE_EXPIRE_AFTER_ACCESS,
        LookupOptions.PARTIAL_CACHE_EXPIRE_AFTER_WRITE,
        LookupOptions.PARTIAL_CACHE_CACHE_MISSING_KEY,
        LookupOptions.PARTIAL_CACHE_MAX_ROWS,
        SINK_IGNORE_DELETE,
        SINK_DISTRIBUTION_MODE,
        FactoryUtil.SOURCE_PARALLELISM,
        FactoryUtil.SINK_PARALLELISM,
        FactoryUtil.WATERMARK_EMIT_STRATEGY,
        FactoryUtil.WATERMARK_ALIGNMENT_GROUP,
        FactoryUtil.WATERMARK_ALIGNMENT_MAX_DRIFT,
        FactoryUtil.WATERMARK_ALIGNMENT_UPDATE_INTERVAL,
        FactoryUtil.SOURCE_IDLE_TIMEOUT);
    return Collections.unmodifiableList(all);
  }

  /** All options above and Flink's own that apply to a Fluss table. */
  public static List<ConfigOption<?>> all() {
    return ALL;
  }

  /** Where a scan starts. */
  public enum StartupMode {
    FULL,
    EARLIEST,
    LATEST,
    TIMESTAMP;

    @Override
    public String toString() {
      return name().toLowerCase(java.util.Locale.ROOT);
    }
  }

  /** How rows are distributed over the subtasks of the sink. */
  public enum DistributionMode {
    AUTO,
    NONE,
    BUCKET
  }

  /**
   * The {@code client.*} options among {@code options}, and the servers, as the client reads them.
   */
  public static Map<String, String> clientOptions(Map<String, String> options) {
    Map<String, String> client = new TreeMap<>();
    options.forEach(
        (key, value) -> {
          if (key.startsWith(CLIENT_PREFIX) || key.equals(BOOTSTRAP_SERVERS.key())) {
            client.put(key, value);
          }
        });
    return client;
  }

  private FlussConnectorOptions() {}
}
