package io.fluss.client.arrow;

/** Unit in which Arrow stores times and timestamps, by their precision. */
enum TimeUnit {
  SECOND,
  MILLISECOND,
  MICROSECOND,
  NANOSECOND;

  static TimeUnit ofPrecision(int precision) {
    return precision == 0
        ? SECOND
        : precision <= 3 ? MILLISECOND : precision <= 6 ? MICROSECOND : NANOSECOND;
  }

  /** Bytes of a time of day; timestamps always take 8. */
  int timeWidth() {
    return this == SECOND || this == MILLISECOND ? 4 : 8;
  }
}
