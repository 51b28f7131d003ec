package io.fluss.client;

/** Which offset of a bucket is requested. */
public final class OffsetSpec {
  private static final OffsetSpec EARLIEST = new OffsetSpec(0, -1);
  private static final OffsetSpec LATEST = new OffsetSpec(1, -1);

  private final int type;
  private final long timestamp;

  private OffsetSpec(int type, long timestamp) {
    this.type = type;
    this.timestamp = timestamp;
  }

  /** The smallest readable offset. */
  public static OffsetSpec earliest() {
    return EARLIEST;
  }

  /** The end of the readable log (high watermark, exclusive). */
  public static OffsetSpec latest() {
    return LATEST;
  }

  /**
   * The first offset whose batch time is at or after {@code timestampMs}; the latest offset when
   * there is none yet. A time in the future is refused by the server with
   * INVALID_TIMESTAMP_EXCEPTION.
   */
  public static OffsetSpec timestamp(long timestampMs) {
    return new OffsetSpec(2, timestampMs);
  }

  /** The number on the wire. */
  public int type() {
    return type;
  }

  /** Milliseconds since the epoch; -1 when the type is not a timestamp. */
  public long timestamp() {
    return timestamp;
  }
}
