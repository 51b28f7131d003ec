package io.fluss.client;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/** Comment and free properties of a database. Immutable. */
public final class DatabaseDescriptor {
  public static final DatabaseDescriptor EMPTY =
      new DatabaseDescriptor(null, Collections.emptyMap());

  private final String comment;
  private final Map<String, String> customProperties;

  /** {@code comment} may be null. */
  public DatabaseDescriptor(String comment, Map<String, String> customProperties) {
    this.comment = comment;
    this.customProperties = Collections.unmodifiableMap(new LinkedHashMap<>(customProperties));
  }

  public Optional<String> comment() {
    return Optional.ofNullable(comment);
  }

  public Map<String, String> customProperties() {
    return customProperties;
  }
}
