package io.fluss.client.rpc;

import java.util.Objects;

/** Address of a server. */
public final class Node {
  private final String host;
  private final int port;

  public Node(String host, int port) {
    this.host = Objects.requireNonNull(host, "host");
    this.port = port;
  }

  /** Reads {@code host:port}; an IPv6 address may stand in brackets. */
  public static Node parse(String text) {
    int colon = text.lastIndexOf(':');
    String host = text.substring(0, colon);
    if (host.startsWith("[") && host.endsWith("]")) {
      host = host.substring(1, host.length() - 1);
    }
    return new Node(host, Integer.parseInt(text.substring(colon + 1)));
  }

  public String host() {
    return host;
  }

  public int port() {
    return port;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Node && host.equals(((Node) other).host) && port == ((Node) other).port;
  }

  @Override
  public int hashCode() {
    return 31 * host.hashCode() + port;
  }

  @Override
  public String toString() {
    return host + ":" + port;
  }
}
