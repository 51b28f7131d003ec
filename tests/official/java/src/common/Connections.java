import java.util.HashMap;
import java.util.Iterator;
import java.util.Map;
import org.apache.fluss.client.Connection;
import org.apache.fluss.client.ConnectionFactory;
import org.apache.fluss.client.table.Table;
import org.apache.fluss.config.Configuration;
import org.apache.fluss.metadata.TablePath;
import org.apache.fluss.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;

/** Open connections by name, and tables that stay open while their schema changes. */
final class Connections {
  private final Map<String, Connection> connections = new HashMap<>();
  private final Map<String, Table> tables = new HashMap<>();

  void register(Map<String, Driver.Call> calls) {
    calls.put(
        "open",
        request -> {
          Configuration configuration = new Configuration();
          for (Map.Entry<String, String> option : Requests.strings(request, "options").entrySet()) {
            configuration.setString(option.getKey(), option.getValue());
          }
          close(name(request));
          connections.put(name(request), ConnectionFactory.createConnection(configuration));
          return null;
        });
    calls.put(
        "close",
        request -> {
          close(name(request));
          return null;
        });
    calls.put(
        "hold_table",
        request -> {
          tables.put(name(request) + "/" + request.get("handle").asText(), open(request));
          return null;
        });
  }

  Connection get(JsonNode request) {
    Connection connection = connections.get(name(request));
    if (connection == null) {
      throw new IllegalStateException("no connection " + name(request));
    }
    return connection;
  }

  /** The held table that the request names, or a fresh one. */
  Table table(JsonNode request) {
    return request.hasNonNull("handle")
        ? tables.get(name(request) + "/" + request.get("handle").asText())
        : open(request);
  }

  private Table open(JsonNode request) {
    TablePath path = Requests.path(request);
    return get(request).getTable(path);
  }

  private void close(String name) {
    for (Iterator<String> held = tables.keySet().iterator(); held.hasNext(); ) {
      if (held.next().startsWith(name + "/")) {
        held.remove();
      }
    }
    Connection connection = connections.remove(name);
    if (connection != null) {
      // Not waited for: Netty takes two seconds to be sure that nobody wants anything any more.
      Thread closing =
          new Thread(
              () -> {
                try {
                  connection.close();
                } catch (Exception failure) {
                  failure.printStackTrace();
                }
              });
      closing.setDaemon(true);
      closing.start();
    }
  }

  private static String name(JsonNode request) {
    return request.get("connection").asText();
  }
}
