package io.fluss.client;

import java.io.Serializable;
import java.util.Collections;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;

/**
 * How a column of an aggregation table combines the value that is stored with the value that is
 * written: a function, by its name in the protocol, and its parameters. Immutable.
 */
public final class AggFunction implements Serializable {
  private static final long serialVersionUID = 1L;

  private final String name;
  private final TreeMap<String, String> parameters;

  /**
   * @param name in lower case with underscores, as in {@code last_value}
   */
  public AggFunction(String name, Map<String, String> parameters) {
    this.name = Objects.requireNonNull(name, "name");
    this.parameters = new TreeMap<>(parameters);
  }

  public String name() {
    return name;
  }

  /** Parameters by name; empty if all have their defaults. */
  public Map<String, String> parameters() {
    return Collections.unmodifiableMap(parameters);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof AggFunction
        && name.equals(((AggFunction) other).name)
        && parameters.equals(((AggFunction) other).parameters);
  }

  @Override
  public int hashCode() {
    return Objects.hash(name, parameters);
  }

  @Override
  public String toString() {
    return parameters.isEmpty() ? name : name + parameters;
  }
}
