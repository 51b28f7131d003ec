package io.fluss.client;

import java.util.Objects;

/** One change of a table option: set to a value, or reset. */
public final class ConfigChange {
  private final String key;
  private final String value;

  private ConfigChange(String key, String value) {
    this.key = Objects.requireNonNull(key, "key");
    this.value = value;
  }

  public static ConfigChange set(String key, String value) {
    return new ConfigChange(key, Objects.requireNonNull(value, "value"));
  }

  public static ConfigChange reset(String key) {
    return new ConfigChange(key, null);
  }

  public String key() {
    return key;
  }

  /** The new value; null for a reset. */
  public String value() {
    return value;
  }

  public boolean isReset() {
    return value == null;
  }
}
