package io.fluss.client;

/** Everything the client or the server refuses, with the protocol's error code. */
public class FlussException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final ErrorCode code;
  private final String detail;

  public FlussException(ErrorCode code, String message) {
    this(code, message, null);
  }

  public FlussException(ErrorCode code, String message, Throwable cause) {
    super(code + ": " + message, cause);
    this.code = code;
    this.detail = message;
  }

  public ErrorCode code() {
    return code;
  }

  /** The message without the name of the code. */
  public String detail() {
    return detail;
  }

  /**
   * Whether the same request may succeed later. The client has retried already before this reaches
   * a caller.
   */
  public boolean retriable() {
    return code.retriable();
  }
}
