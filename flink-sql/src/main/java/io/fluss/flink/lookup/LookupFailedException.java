package io.fluss.flink.lookup;

import io.fluss.client.TablePath;

/** A lookup that the client gave up. */
public final class LookupFailedException extends RuntimeException {

  private static final long serialVersionUID = 1L;

  LookupFailedException(TablePath table, Throwable cause) {
    super("Lookup in table " + table + " failed: " + cause.getMessage(), cause);
  }
}
