package io.fluss.client;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Objects;

/** One partition of a table: its id in the cluster, never reused, and its name. Immutable. */
public final class PartitionInfo implements Serializable {
  private static final long serialVersionUID = 1L;
  private static final String SEPARATOR = "$";

  private final long id;
  private final String name;

  public PartitionInfo(long id, String name) {
    this.id = id;
    this.name = Objects.requireNonNull(name, "name");
  }

  /** The name of the partition with these values, in the order of the partition columns. */
  public static String nameOf(List<String> values) {
    return String.join(SEPARATOR, values);
  }

  public long id() {
    return id;
  }

  /** Values of the partition columns as text, joined with {@code $}. */
  public String name() {
    return name;
  }

  /** The values in the order of the partition columns. */
  public List<String> values() {
    return Collections.unmodifiableList(new ArrayList<>(Arrays.asList(name.split("\\$", -1))));
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof PartitionInfo
        && id == ((PartitionInfo) other).id
        && name.equals(((PartitionInfo) other).name);
  }

  @Override
  public int hashCode() {
    return Long.hashCode(id);
  }

  @Override
  public String toString() {
    return name + " (id " + id + ")";
  }
}
