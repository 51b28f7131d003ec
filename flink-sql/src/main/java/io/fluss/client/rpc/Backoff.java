package io.fluss.client.rpc;

import java.util.concurrent.ThreadLocalRandom;

/**
 * Growing pauses between tries: doubled each time up to a limit, 20 % at random. Not thread-safe.
 */
public final class Backoff {
  private final long initialMillis;
  private final long maxMillis;
  private int tries;

  public Backoff(long initialMillis, long maxMillis) {
    this.initialMillis = initialMillis;
    this.maxMillis = maxMillis;
  }

  /** For operations on servers: from 50 ms to 1 s. */
  public static Backoff standard() {
    return new Backoff(50, 1_000);
  }

  public long nextMillis() {
    long base = Math.min(maxMillis, initialMillis << Math.min(tries++, 20));
    return (long) (base * (0.8 + 0.4 * ThreadLocalRandom.current().nextDouble()));
  }

  public void reset() {
    tries = 0;
  }
}
