package io.fluss.flink.source;

import java.io.Serializable;
import java.util.Objects;

/** Where a source starts reading a table that it has no checkpoint of. */
public final class OffsetsInitializer implements Serializable {

  private static final long serialVersionUID = 1L;

  private static final OffsetsInitializer FULL = new OffsetsInitializer(Kind.FULL, 0);
  private static final OffsetsInitializer EARLIEST = new OffsetsInitializer(Kind.EARLIEST, 0);
  private static final OffsetsInitializer LATEST = new OffsetsInitializer(Kind.LATEST, 0);

  /** The four ways to start. */
  public enum Kind {
    FULL,
    EARLIEST,
    LATEST,
    TIMESTAMP
  }

  private final Kind kind;
  private final long timestampMs;

  private OffsetsInitializer(Kind kind, long timestampMs) {
    this.kind = kind;
    this.timestampMs = timestampMs;
  }

  /** Everything: for primary-key tables the state first and then the changelog after it. */
  public static OffsetsInitializer full() {
    return FULL;
  }

  /** From the earliest offset of the log, for primary-key tables of the changelog. */
  public static OffsetsInitializer earliest() {
    return EARLIEST;
  }

  /** Only what is written after the source started. */
  public static OffsetsInitializer latest() {
    return LATEST;
  }

  /**
   * From the first batch that was written at or after this time.
   *
   * @param timestampMs milliseconds since the epoch, not in the future
   */
  public static OffsetsInitializer timestamp(long timestampMs) {
    return new OffsetsInitializer(Kind.TIMESTAMP, timestampMs);
  }

  public Kind kind() {
    return kind;
  }

  /** Milliseconds since the epoch; 0 unless the kind is TIMESTAMP. */
  public long timestampMs() {
    return timestampMs;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof OffsetsInitializer
        && kind == ((OffsetsInitializer) other).kind
        && timestampMs == ((OffsetsInitializer) other).timestampMs;
  }

  @Override
  public int hashCode() {
    return Objects.hash(kind, timestampMs);
  }

  @Override
  public String toString() {
    return kind == Kind.TIMESTAMP
        ? "timestamp(" + timestampMs + ")"
        : kind.name().toLowerCase(java.util.Locale.ROOT);
  }
}
