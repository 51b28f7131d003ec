package io.fluss.flink.table;

import io.fluss.client.ClientOptions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import javax.annotation.Nullable;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.FallbackKey;
import org.apache.flink.table.api.ValidationException;

/**
 * Refuses option keys that nothing reads, naming the nearest key that exists. Custom properties are
 * free as long as they do not look like options: a key with the prefix of one of the option groups
 * must be an option.
 */
public final class OptionCheck {

  private static final List<String> GROUPS =
      Arrays.asList(
          "scan.",
          "lookup.",
          "sink.",
          "bucket.",
          "auto-increment.",
          FlussConnectorOptions.CLIENT_PREFIX);

  /** Options of the official client's file systems, under names that the file systems choose. */
  private static final String FILE_SYSTEM_PREFIX = "client.fs.";

  /** Options of the official connector that are harmless here. */
  private static final Set<String> WITHOUT_EFFECT =
      new HashSet<>(
          Arrays.asList(
              "scan.split.assignment.batch-size",
              "scan.kv.snapshot.lease.id",
              "scan.kv.snapshot.lease.duration",
              "sink.bucket-shuffle",
              "sink.producer-id"));

  /** Options of the official connector whose effect this version does not have. */
  private static final Set<String> NOT_SUPPORTED =
      Collections.singleton("lookup.insert-if-not-exists");

  private OptionCheck() {}

  /**
   * Checks the options that a table is created with.
   *
   * @throws ValidationException for an unknown key with the prefix of an option group, or an option
   *     whose effect does not exist
   */
  public static void checkNewTable(Map<String, String> options) {
    checkSupported(options);
    checkChangedOptions(options.keySet());
  }

  /**
   * Checks the {@code client.*} options of a catalog.
   *
   * @throws ValidationException for an unknown key
   */
  public static void checkCatalog(Map<String, String> clientOptions) {
    for (String key : clientOptions.keySet()) {
      if (!isKnown(key)) {
        throw unknown(key);
      }
    }
  }

  /**
   * Checks options that ALTER TABLE sets.
   *
   * @throws ValidationException for an unknown key with the prefix of an option group
   */
  public static void checkChangedOptions(Collection<String> keys) {
    for (String key : keys) {
      if (GROUPS.stream().anyMatch(key::startsWith) && !isKnown(key)) {
        throw unknown(key);
      }
    }
  }

  /**
   * Checks the options a table is used with.
   *
   * @param stored keys that are stored with the table; they are not checked
   * @throws ValidationException for an unknown key that came from a hint, or an option whose effect
   *     does not exist
   */
  static void checkUse(Map<String, String> options, Set<String> stored) {
    checkSupported(options);
    for (String key : options.keySet()) {
      if (!stored.contains(key)
          && !isKnown(key)
          && !key.startsWith(FlussConnectorOptions.TABLE_PREFIX)) {
        throw unknown(key);
      }
    }
  }

  /**
   * Checks the options given to a builder of the DataStream API.
   *
   * @param groups prefixes of the options that the builder uses
   * @throws ValidationException for any other key
   */
  public static void checkBuilder(Map<String, String> options, String... groups) {
    checkUse(options, Collections.emptySet());
    for (String key : options.keySet()) {
      if (!key.equals(FlussConnectorOptions.BOOTSTRAP_SERVERS.key())
          && Arrays.stream(groups).noneMatch(key::startsWith)) {
        throw new ValidationException(
            "Option '" + key + "' has no effect here; options start with " + Arrays.asList(groups));
      }
    }
  }

  /**
   * Checks what a builder of the DataStream API cannot do without.
   *
   * @param what the method that gives it, for the message
   * @throws ValidationException when it is null
   */
  public static void checkIsSet(@Nullable String value, String what) {
    if (value == null) {
      throw new ValidationException("The builder of a Fluss source or sink needs " + what + ".");
    }
  }

  private static void checkSupported(Map<String, String> options) {
    for (String key : NOT_SUPPORTED) {
      String value = options.get(key);
      if (value != null && !"false".equalsIgnoreCase(value)) {
        throw new ValidationException(
            "Option '" + key + "' is not supported by this version of the connector.");
      }
    }
  }

  private static boolean isKnown(String key) {
    return WITHOUT_EFFECT.contains(key)
        || NOT_SUPPORTED.contains(key)
        || keys().contains(key)
        || key.startsWith(FILE_SYSTEM_PREFIX);
  }

  private static Set<String> keys() {
    Set<String> keys = new HashSet<>();
    for (ConfigOption<?> option : FlussConnectorOptions.all()) {
      keys.add(option.key());
      for (FallbackKey fallback : option.fallbackKeys()) {
        keys.add(fallback.getKey());
      }
    }
    keys.addAll(ClientOptions.knownKeys().keySet());
    return keys;
  }

  private static ValidationException unknown(String key) {
    return new ValidationException(
        "Unknown option '"
            + key
            + "'."
            + nearest(key, keys()).map(near -> " Did you mean '" + near + "'?").orElse(""));
  }

  /** The key with the smallest edit distance, if it is at most a third of the key's length. */
  static Optional<String> nearest(String key, Collection<String> keys) {
    List<String> sorted = new ArrayList<>(keys);
    sorted.sort(null);
    String best = null;
    int bestDistance = key.length() / 3 + 1;
    for (String candidate : sorted) {
      int distance = editDistance(key, candidate);
      if (distance < bestDistance) {
        best = candidate;
        bestDistance = distance;
      }
    }
    return Optional.ofNullable(best);
  }

  /** Levenshtein distance. */
  private static int editDistance(String a, String b) {
    int[] previous = new int[b.length() + 1];
    for (int j = 0; j <= b.length(); j++) {
      previous[j] = j;
    }
    for (int i = 1; i <= a.length(); i++) {
      int[] current = new int[b.length() + 1];
      current[0] = i;
      for (int j = 1; j <= b.length(); j++) {
        int replace = previous[j - 1] + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1);
        current[j] = Math.min(replace, Math.min(previous[j], current[j - 1]) + 1);
      }
      previous = current;
    }
    return previous[b.length()];
  }
}
