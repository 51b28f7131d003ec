package io.fluss.client.rpc;

import io.fluss.client.ErrorCode;
import io.fluss.client.FlussException;

/** A call got no response: no connection, a lost one, or a time-out. */
public final class CallFailedException extends FlussException {
  private static final long serialVersionUID = 1L;

  private final boolean requestSent;

  CallFailedException(ErrorCode code, String message, boolean requestSent, Throwable cause) {
    super(code, message, cause);
    this.requestSent = requestSent;
  }

  /** Whether the server may have received the request, and carried it out. */
  public boolean requestSent() {
    return requestSent;
  }
}
