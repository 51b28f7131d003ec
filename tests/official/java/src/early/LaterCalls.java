import java.util.Map;

/** Calls that only later versions of the client have: none in 0.9.1. */
final class LaterCalls {
  private LaterCalls() {}

  static void register(Map<String, Driver.Call> calls, Connections connections) {}
}
