package io.fluss.client.rpc;

import io.fluss.client.ErrorCode;
import io.fluss.client.FlussException;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;

/** From numbers and wrapped exceptions to {@link FlussException}. */
public final class Errors {
  private Errors() {}

  public static FlussException toException(int number, String message) {
    ErrorCode code = ErrorCode.of(number);
    String text = message.isEmpty() ? "(the server gave no text)" : message;
    return new FlussException(
        code, code.number() == number ? text : "error " + number + ": " + text);
  }

  /** The exception inside the wrappers of futures. */
  public static FlussException unwrap(Throwable error) {
    Throwable cause = error;
    while ((cause instanceof CompletionException || cause instanceof ExecutionException)
        && cause.getCause() != null) {
      cause = cause.getCause();
    }
    return cause instanceof FlussException
        ? (FlussException) cause
        : new FlussException(ErrorCode.UNKNOWN_SERVER_ERROR, String.valueOf(cause), cause);
  }
}
