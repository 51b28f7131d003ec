package io.fluss.client;

import java.io.Serializable;
import java.util.Map;

/** Settings of a client. */
public final class ClientOptions implements Serializable {
  private static final long serialVersionUID = 1L;

  private ClientOptions() {}

  public static ClientOptions fromMap(Map<String, String> options) {
    throw new UnsupportedOperationException();
  }
}
