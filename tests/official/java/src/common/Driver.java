import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.fluss.rpc.protocol.Errors;
import org.apache.fluss.shaded.jackson2.com.fasterxml.jackson.databind.DeserializationFeature;
import org.apache.fluss.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.fluss.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.fluss.shaded.jackson2.com.fasterxml.jackson.databind.node.ObjectNode;

/**
 * Runs calls of the official Java client for tests written in Python.
 *
 * <p>One JSON object per line comes in, {@code {"call": name, ...}}, and one goes out: {@code {"ok": result}}, or
 * {@code {"error": {"code", "class", "message"}}}. Calls run one after the other.
 */
public final class Driver {
  static final ObjectMapper JSON =
      new ObjectMapper().configure(DeserializationFeature.USE_BIG_INTEGER_FOR_INTS, true);

  private static final long LIMIT_SECONDS = 60;

  /** A call by name; the result is anything that Jackson writes. */
  interface Call {
    Object run(JsonNode request) throws Exception;
  }

  public static void main(String[] arguments) throws Exception {
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    System.setOut(System.err); // whatever libraries print must not end up between the answers
    Map<String, Call> calls = new HashMap<>();
    Connections connections = new Connections();
    connections.register(calls);
    new AdminCalls(connections).register(calls);
    new TableCalls(connections).register(calls);
    LaterCalls.register(calls, connections);
    ExecutorService workers = Executors.newCachedThreadPool();
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      ObjectNode answer = JSON.createObjectNode();
      try {
        JsonNode request = JSON.readTree(line);
        Call call = calls.get(request.get("call").asText());
        if (call == null) {
          throw new UnsupportedOperationException("this version of the client has no " + request.get("call"));
        }
        // A call that never ends keeps its thread, and the next one gets another.
        Future<Object> result = workers.submit(() -> call.run(request));
        answer.set("ok", JSON.valueToTree(result.get(LIMIT_SECONDS, TimeUnit.SECONDS)));
      } catch (Throwable failure) {
        answer.set("error", describe(failure));
      }
      out.println(JSON.writeValueAsString(answer));
      out.flush();
    }
    System.exit(0); // no waiting for connections that a test left open
  }

  private static ObjectNode describe(Throwable failure) {
    Throwable cause = failure;
    while (Errors.forException(cause) == Errors.UNKNOWN_SERVER_ERROR && cause.getCause() != null) {
      cause = cause.getCause();
    }
    ObjectNode error = JSON.createObjectNode();
    error.put("code", Errors.forException(cause).code());
    error.put("class", cause.getClass().getSimpleName());
    error.put("message", String.valueOf(cause.getMessage()));
    return error;
  }
}
