package io.fluss.flink.table;

import io.fluss.flink.source.OffsetsInitializer;
import io.fluss.flink.table.FlussConnectorOptions.StartupMode;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.time.format.ResolverStyle;
import javax.annotation.Nullable;
import org.apache.flink.api.common.RuntimeExecutionMode;
import org.apache.flink.configuration.ExecutionOptions;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.api.config.ExecutionConfigOptions;
import org.apache.flink.table.api.config.TableConfigOptions;
import org.apache.flink.table.factories.DynamicTableFactory;
import org.apache.flink.table.factories.FactoryUtil;

/** The options of a table source, read and checked. */
final class ScanOptions {

  private static final DateTimeFormatter DATE_TIME =
      DateTimeFormatter.ofPattern("uuuu-MM-dd HH:mm:ss").withResolverStyle(ResolverStyle.STRICT);

  private final ReadableConfig tableOptions;

  /** Buckets without rows hold back the watermark, and so windows, no longer than this. */
  private static final Duration IDLE_AFTER = Duration.ofSeconds(10);

  private final OffsetsInitializer start;
  private final boolean streaming;
  private final Duration idleAfter;

  ScanOptions(ReadableConfig tableOptions, DynamicTableFactory.Context context) {
    this(
        tableOptions,
        context.getConfiguration().get(ExecutionOptions.RUNTIME_MODE)
            == RuntimeExecutionMode.STREAMING,
        sessionTimeZone(context.getConfiguration()),
        context
            .getConfiguration()
            .getOptional(ExecutionConfigOptions.TABLE_EXEC_SOURCE_IDLE_TIMEOUT)
            .isPresent());
  }

  /**
   * @param sessionSetsIdleTimeout whether the session sets {@code table.exec.source.idle-timeout}
   */
  ScanOptions(
      ReadableConfig tableOptions,
      boolean streaming,
      ZoneId sessionTimeZone,
      boolean sessionSetsIdleTimeout) {
    this.tableOptions = tableOptions;
    this.streaming = streaming;
    this.start = start(tableOptions, sessionTimeZone);
    boolean ownRule =
        sessionSetsIdleTimeout
            || tableOptions.getOptional(FactoryUtil.SOURCE_IDLE_TIMEOUT).isPresent();
    this.idleAfter = ownRule ? Duration.ZERO : IDLE_AFTER;
  }

  private static ZoneId sessionTimeZone(ReadableConfig sessionOptions) {
    String zone = sessionOptions.get(TableConfigOptions.LOCAL_TIME_ZONE);
    return TableConfigOptions.LOCAL_TIME_ZONE.defaultValue().equals(zone)
        ? ZoneId.systemDefault()
        : ZoneId.of(zone);
  }

  private static OffsetsInitializer start(ReadableConfig options, ZoneId zone) {
    StartupMode mode = options.get(FlussConnectorOptions.SCAN_STARTUP_MODE);
    switch (mode) {
      case EARLIEST:
        return OffsetsInitializer.earliest();
      case LATEST:
        return OffsetsInitializer.latest();
      case TIMESTAMP:
        String timestamp = options.get(FlussConnectorOptions.SCAN_STARTUP_TIMESTAMP);
        if (timestamp == null) {
          throw new ValidationException(
              "Option 'scan.startup.timestamp' is required with 'scan.startup.mode' = 'timestamp'.");
        }
        return OffsetsInitializer.timestamp(epochMillis(timestamp.trim(), zone));
      default:
        return OffsetsInitializer.full();
    }
  }

  /**
   * @param text epoch milliseconds, or {@code yyyy-MM-dd HH:mm:ss} in {@code zone}
   */
  static long epochMillis(String text, ZoneId zone) {
    try {
      return text.chars().allMatch(Character::isDigit)
          ? Long.parseLong(text)
          : LocalDateTime.parse(text, DATE_TIME).atZone(zone).toInstant().toEpochMilli();
    } catch (DateTimeException | NumberFormatException e) {
      throw new ValidationException(
          String.format(
              "'scan.startup.timestamp' = '%s' is neither epoch milliseconds nor a time like"
                  + " '2013-12-31 23:59:59'.",
              text),
          e);
    }
  }

  /** Options of the table as Flink's own helpers read them. */
  ReadableConfig tableOptions() {
    return tableOptions;
  }

  OffsetsInitializer start() {
    return start;
  }

  boolean isStreaming() {
    return streaming;
  }

  /** Check interval for new partitions; zero: none. */
  Duration discoveryInterval() {
    return tableOptions.get(FlussConnectorOptions.SCAN_PARTITION_DISCOVERY_INTERVAL);
  }

  /**
   * Time without unread rows after which a bucket is marked idle; zero if Flink's own idle time-out
   * is set, which then counts.
   */
  Duration idleAfter() {
    return idleAfter;
  }

  /** Parallelism of the scan; null: as the job. */
  @Nullable
  Integer parallelism() {
    return tableOptions.getOptional(FactoryUtil.SOURCE_PARALLELISM).orElse(null);
  }
}
