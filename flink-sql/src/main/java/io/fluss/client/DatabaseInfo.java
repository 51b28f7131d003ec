package io.fluss.client;

/** A database as the server describes it. Immutable. */
public final class DatabaseInfo {
  private final String name;
  private final DatabaseDescriptor descriptor;
  private final long createdTime;
  private final long modifiedTime;

  public DatabaseInfo(
      String name, DatabaseDescriptor descriptor, long createdTime, long modifiedTime) {
    this.name = name;
    this.descriptor = descriptor;
    this.createdTime = createdTime;
    this.modifiedTime = modifiedTime;
  }

  public String name() {
    return name;
  }

  public DatabaseDescriptor descriptor() {
    return descriptor;
  }

  /** Milliseconds since the epoch. */
  public long createdTime() {
    return createdTime;
  }

  /** Milliseconds since the epoch. */
  public long modifiedTime() {
    return modifiedTime;
  }
}
