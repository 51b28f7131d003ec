package io.fluss.client;

import java.io.Serializable;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;
import javax.annotation.Nullable;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.util.TimeUtils;

/**
 * Settings of a client, read once from option texts. Keys and defaults are those of the official
 * client, except that lookups never wait for a request to fill, and {@code client.retry-timeout} is
 * ours. Immutable.
 */
public final class ClientOptions implements Serializable {
  private static final long serialVersionUID = 1L;

  private static final String PROTOCOL = "client.security.protocol";

  private static final Map<String, String> KNOWN_KEYS = new LinkedHashMap<>();

  static {
    KNOWN_KEYS.put("bootstrap.servers", "Comma list of host:port of servers to start from.");
    KNOWN_KEYS.put("client.id", "Name of the client in its thread names.");
    KNOWN_KEYS.put("client.connect-timeout", "Longest time to open a connection. Default 15 s.");
    KNOWN_KEYS.put("client.request-timeout", "Longest time to wait for a response. Default 30 s.");
    KNOWN_KEYS.put(
        "client.retry-timeout",
        "Longest time an operation is repeated before its error reaches the caller. Default 2 min.");
    KNOWN_KEYS.put("client.writer.buffer.memory-size", "Memory for unsent rows. Default 64 mb.");
    KNOWN_KEYS.put(
        "client.writer.buffer.wait-timeout",
        "Longest time a write waits for memory. Default: until the writer fails.");
    KNOWN_KEYS.put("client.writer.batch-size", "Size at which a batch is sent. Default 2 mb.");
    KNOWN_KEYS.put(
        "client.writer.batch-timeout",
        "Time after which a batch is sent that is not full. Default 100 ms.");
    KNOWN_KEYS.put(
        "client.writer.bucket.no-key-assigner",
        "sticky or round_robin: bucket of rows of tables without a bucket key. Default sticky.");
    KNOWN_KEYS.put("client.writer.acks", "all (or -1), 1 or 0. Default all.");
    KNOWN_KEYS.put("client.writer.request-max-size", "Largest write request. Default 10 mb.");
    KNOWN_KEYS.put("client.writer.retries", "How often a batch is sent again. Default: no limit.");
    KNOWN_KEYS.put(
        "client.writer.enable-idempotence",
        "Number the batches so that a repeated send is stored once. Default true.");
    KNOWN_KEYS.put(
        "client.writer.dynamic-create-partition.enabled",
        "Create the partitions of rows that are written, if they are missing. Default true.");
    KNOWN_KEYS.put(
        "client.writer.max-inflight-requests-per-bucket",
        "Batches of one bucket on their way at once, 1 to 5. Default 5.");
    KNOWN_KEYS.put("client.lookup.queue-size", "Lookups that may wait. Default 25600.");
    KNOWN_KEYS.put("client.lookup.max-batch-size", "Keys in one lookup request. Default 128.");
    KNOWN_KEYS.put(
        "client.lookup.max-inflight-requests",
        "Lookup requests of one server on their way at once. Default 128.");
    KNOWN_KEYS.put(
        "client.lookup.max-retries", "How often a lookup is repeated. Default: no limit.");
    KNOWN_KEYS.put(
        "client.scanner.log.check-crc", "Verify checksums of log batches. Default true.");
    KNOWN_KEYS.put(
        "client.scanner.log.max-poll-records", "Records that one poll returns. Default 500.");
    KNOWN_KEYS.put("client.scanner.log.fetch.max-bytes", "Size of one fetch. Default 16 mb.");
    KNOWN_KEYS.put(
        "client.scanner.log.fetch.max-bytes-for-bucket",
        "Size of one bucket's part of a fetch. Default 1 mb.");
    KNOWN_KEYS.put(
        "client.scanner.log.fetch.min-bytes", "Bytes for which a fetch returns. Default 1.");
    KNOWN_KEYS.put(
        "client.scanner.log.fetch.wait-max-time",
        "Longest time a fetch waits on the server for data. Default 500 ms.");
    KNOWN_KEYS.put(
        "client.scanner.kv.fetch.max-bytes",
        "Size of one response of a key-value scan. Default 4 mb.");
    String accepted = "Option of the official client; accepted, has no effect in this one.";
    for (String key :
        List.of(
            "client.lookup.batch-timeout",
            "client.metrics.enabled",
            "client.security.enable-plugin-discovery",
            "client.writer.buffer.page-size",
            "client.writer.buffer.per-request-memory-size",
            "client.writer.dynamic-batch-size.enabled",
            "client.writer.kv-backpressure.max-throttle",
            "client.scanner.log.read-preference",
            "client.scanner.kv.batch-strategy",
            "client.scanner.io.tmpdir",
            "client.scanner.remote-log.prefetch-num",
            "client.remote-file.download-thread-num",
            "client.filesystem.security.token.renewal.backoff",
            "client.filesystem.security.token.renewal.time-ratio")) {
      KNOWN_KEYS.put(key, accepted);
    }
    KNOWN_KEYS.put(
        PROTOCOL,
        "SASL to authenticate, PLAINTEXT for servers without authentication. Default PLAINTEXT.");
    KNOWN_KEYS.put("client.security.sasl.mechanism", "PLAIN, the only one and the default.");
    KNOWN_KEYS.put("client.security.sasl.username", "User to authenticate as.");
    KNOWN_KEYS.put("client.security.sasl.password", "Password of that user.");
    KNOWN_KEYS.put(
        "client.security.sasl.jaas.config",
        "The credentials as JAAS text with username and password, instead of the two.");
  }

  private final ArrayList<String> bootstrapServers;
  private final String clientId;
  private final Duration connectTimeout;
  private final Duration requestTimeout;
  private final Duration retryTimeout;
  private final long writerMemorySize;
  private final Duration writerMemoryTimeout;
  private final int writerBatchSize;
  private final Duration writerBatchTimeout;
  private final boolean roundRobin;
  private final int acks;
  private final int maxRequestSize;
  private final int writerRetries;
  private final boolean idempotence;
  private final boolean createsPartitions;
  private final int maxInflightPerBucket;
  private final int lookupQueueSize;
  private final int lookupBatchSize;
  private final int lookupMaxInflight;
  private final int lookupRetries;
  private final boolean checkCrc;
  private final int maxPollRecords;
  private final int fetchMaxBytes;
  private final int fetchMaxBytesForBucket;
  private final int fetchMinBytes;
  private final Duration fetchMaxWait;
  private final int kvFetchMaxBytes;
  @Nullable private final Credentials credentials;

  private ClientOptions(Map<String, String> options) {
    Reader in = new Reader(options);
    bootstrapServers = in.servers("bootstrap.servers");
    clientId = in.text("client.id", "");
    connectTimeout = in.duration("client.connect-timeout", Duration.ofSeconds(15));
    requestTimeout = in.duration("client.request-timeout", Duration.ofSeconds(30));
    retryTimeout = in.duration("client.retry-timeout", Duration.ofMinutes(2));
    writerMemorySize = in.size("client.writer.buffer.memory-size", "64mb", Long.MAX_VALUE);
    writerMemoryTimeout =
        in.duration("client.writer.buffer.wait-timeout", Duration.ofNanos(Long.MAX_VALUE));
    writerBatchSize = (int) in.size("client.writer.batch-size", "2mb", 1 << 29);
    writerBatchTimeout = in.duration("client.writer.batch-timeout", Duration.ofMillis(100));
    roundRobin =
        in.choice(
                "client.writer.bucket.no-key-assigner", "STICKY", List.of("STICKY", "ROUND_ROBIN"))
            .equals("ROUND_ROBIN");
    String ack = in.choice("client.writer.acks", "ALL", List.of("ALL", "-1", "0", "1"));
    acks = ack.equals("ALL") ? -1 : Integer.parseInt(ack);
    maxRequestSize = (int) in.size("client.writer.request-max-size", "10mb", 1 << 30);
    writerRetries = in.integer("client.writer.retries", Integer.MAX_VALUE, 0, Integer.MAX_VALUE);
    idempotence = in.flag("client.writer.enable-idempotence", true);
    createsPartitions = in.flag("client.writer.dynamic-create-partition.enabled", true);
    maxInflightPerBucket = in.integer("client.writer.max-inflight-requests-per-bucket", 5, 1, 5);
    lookupQueueSize = in.integer("client.lookup.queue-size", 25600, 1, 1 << 24);
    lookupBatchSize = in.integer("client.lookup.max-batch-size", 128, 1, 1 << 20);
    lookupMaxInflight = in.integer("client.lookup.max-inflight-requests", 128, 1, 1 << 16);
    lookupRetries =
        in.integer("client.lookup.max-retries", Integer.MAX_VALUE, 0, Integer.MAX_VALUE);
    checkCrc = in.flag("client.scanner.log.check-crc", true);
    maxPollRecords = in.integer("client.scanner.log.max-poll-records", 500, 1, Integer.MAX_VALUE);
    fetchMaxBytes = (int) in.size("client.scanner.log.fetch.max-bytes", "16mb", 1 << 30);
    fetchMaxBytesForBucket =
        (int) in.size("client.scanner.log.fetch.max-bytes-for-bucket", "1mb", 1 << 30);
    fetchMinBytes = (int) in.size("client.scanner.log.fetch.min-bytes", "1b", 1 << 30);
    fetchMaxWait = in.duration("client.scanner.log.fetch.wait-max-time", Duration.ofMillis(500));
    kvFetchMaxBytes = (int) in.size("client.scanner.kv.fetch.max-bytes", "4mb", 1 << 30);
    credentials =
        in.choice(PROTOCOL, "PLAINTEXT", List.of("PLAINTEXT", "SASL")).equals("SASL")
            ? credentials(in)
            : null;
  }

  /** The complaints never repeat what may hold a password. */
  private static Credentials credentials(Reader in) {
    in.choice(
        "client.security.sasl.mechanism", Credentials.MECHANISM, List.of(Credentials.MECHANISM));
    String user = in.text("client.security.sasl.username", "");
    String password = in.text("client.security.sasl.password", "");
    String jaas = in.text("client.security.sasl.jaas.config", "");
    try {
      return user.isEmpty() && password.isEmpty() && !jaas.isEmpty()
          ? Credentials.ofJaas(jaas)
          : new Credentials(user, password);
    } catch (IllegalArgumentException e) {
      throw new IllegalArgumentException(
          "'"
              + PROTOCOL
              + "' = 'SASL' needs 'client.security.sasl.username' and"
              + " 'client.security.sasl.password', or both in 'client.security.sasl.jaas.config': "
              + e.getMessage());
    }
  }

  /**
   * Reads the keys of {@link #knownKeys()}; others are left alone, since a table may carry options
   * of other clients.
   *
   * @throws IllegalArgumentException naming the key of a value that cannot be used
   */
  public static ClientOptions fromMap(Map<String, String> options) {
    return new ClientOptions(options);
  }

  /** Every key that {@link #fromMap} looks at or accepts, with its description. */
  public static Map<String, String> knownKeys() {
    return Collections.unmodifiableMap(KNOWN_KEYS);
  }

  /** {@code host:port} texts, at least one. */
  public List<String> bootstrapServers() {
    return Collections.unmodifiableList(bootstrapServers);
  }

  public String clientId() {
    return clientId;
  }

  public Duration connectTimeout() {
    return connectTimeout;
  }

  public Duration requestTimeout() {
    return requestTimeout;
  }

  public Duration retryTimeout() {
    return retryTimeout;
  }

  public long writerMemorySize() {
    return writerMemorySize;
  }

  public Duration writerMemoryTimeout() {
    return writerMemoryTimeout;
  }

  public int writerBatchSize() {
    return writerBatchSize;
  }

  public Duration writerBatchTimeout() {
    return writerBatchTimeout;
  }

  /**
   * Rows without a bucket key go to the buckets round robin; otherwise to one bucket until its
   * batch is sent.
   */
  public boolean roundRobin() {
    return roundRobin;
  }

  /** -1 all in-sync replicas, 1 the leader, 0 none. */
  public int acks() {
    return acks;
  }

  public int maxRequestSize() {
    return maxRequestSize;
  }

  public int writerRetries() {
    return writerRetries;
  }

  public boolean idempotence() {
    return idempotence;
  }

  /** Whether writers create the partitions that they meet. */
  public boolean createsPartitions() {
    return createsPartitions;
  }

  public int maxInflightPerBucket() {
    return maxInflightPerBucket;
  }

  public int lookupQueueSize() {
    return lookupQueueSize;
  }

  public int lookupBatchSize() {
    return lookupBatchSize;
  }

  public int lookupMaxInflight() {
    return lookupMaxInflight;
  }

  public int lookupRetries() {
    return lookupRetries;
  }

  public boolean checkCrc() {
    return checkCrc;
  }

  public int maxPollRecords() {
    return maxPollRecords;
  }

  public int fetchMaxBytes() {
    return fetchMaxBytes;
  }

  public int fetchMaxBytesForBucket() {
    return fetchMaxBytesForBucket;
  }

  public int fetchMinBytes() {
    return fetchMinBytes;
  }

  public Duration fetchMaxWait() {
    return fetchMaxWait;
  }

  public int kvFetchMaxBytes() {
    return kvFetchMaxBytes;
  }

  /** What to authenticate with, null for servers without authentication. */
  @Nullable
  public Credentials credentials() {
    return credentials;
  }

  /** Parses texts, with the key in every complaint. */
  private static final class Reader {
    private final Map<String, String> options;

    Reader(Map<String, String> options) {
      this.options = options;
    }

    private <T> T get(String key, T defaultValue, Function<String, T> parser) {
      String text = options.get(key);
      if (text == null) {
        return defaultValue;
      }
      try {
        return parser.apply(text.trim());
      } catch (IllegalArgumentException | ArithmeticException e) {
        throw bad(key, text, e.getMessage());
      }
    }

    IllegalArgumentException bad(String key, String value, String reason) {
      return new IllegalArgumentException("Bad value '" + value + "' of '" + key + "': " + reason);
    }

    String text(String key, String defaultValue) {
      return get(key, defaultValue, value -> value);
    }

    Duration duration(String key, Duration defaultValue) {
      return get(key, defaultValue, TimeUtils::parseDuration);
    }

    long size(String key, String defaultValue, long max) {
      return get(
          key,
          MemorySize.parseBytes(defaultValue),
          value -> {
            long bytes = MemorySize.parseBytes(value);
            if (bytes < 1 || bytes > max) {
              throw new IllegalArgumentException("it must lie between 1 and " + max + " bytes");
            }
            return bytes;
          });
    }

    int integer(String key, int defaultValue, int min, int max) {
      return get(
          key,
          defaultValue,
          value -> {
            int number;
            try {
              number = Integer.parseInt(value);
            } catch (NumberFormatException e) {
              throw new IllegalArgumentException("an integer is expected");
            }
            if (number < min || number > max) {
              throw new IllegalArgumentException("it must lie between " + min + " and " + max);
            }
            return number;
          });
    }

    boolean flag(String key, boolean defaultValue) {
      return choice(key, String.valueOf(defaultValue), List.of("TRUE", "FALSE")).equals("TRUE");
    }

    /** One of the choices, which are upper case; compared without case. */
    String choice(String key, String defaultValue, List<String> choices) {
      return get(
          key,
          defaultValue.toUpperCase(Locale.ROOT),
          value -> {
            String upper = value.toUpperCase(Locale.ROOT);
            if (!choices.contains(upper)) {
              throw new IllegalArgumentException(
                  "one of " + String.join(", ", choices).toLowerCase(Locale.ROOT) + " is expected");
            }
            return upper;
          });
    }

    ArrayList<String> servers(String key) {
      ArrayList<String> servers = new ArrayList<>();
      for (String part : options.getOrDefault(key, "").split("[,;]")) {
        String server = part.trim();
        if (server.isEmpty()) {
          continue;
        }
        int colon = server.lastIndexOf(':');
        if (colon < 1 || !server.substring(colon + 1).matches("\\d{1,5}")) {
          throw bad(key, options.get(key), "a list of host:port is expected");
        }
        servers.add(server);
      }
      if (servers.isEmpty()) {
        throw new IllegalArgumentException("'" + key + "' is required: a list of host:port");
      }
      return servers;
    }
  }
}
