package io.fluss.flink.catalog;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fluss.client.ClientOptions;
import java.time.Duration;
import java.util.Map;
import org.apache.flink.table.catalog.ObjectPath;
import org.apache.flink.table.catalog.exceptions.CatalogException;
import org.junit.jupiter.api.Test;

class FlussCatalogTest {

  @Test
  void statementsFailAfterSeconds() {
    ClientOptions options =
        ClientOptions.fromMap(FlussCatalog.interactive(Map.of("bootstrap.servers", "a:1")));

    Duration longest = Duration.ofSeconds(10);
    assertTrue(options.connectTimeout().compareTo(longest) < 0);
    assertTrue(options.requestTimeout().compareTo(longest) <= 0);
    assertTrue(options.retryTimeout().compareTo(longest) <= 0);
  }

  @Test
  void theTimeOutsOfTheUserCount() {
    ClientOptions options =
        ClientOptions.fromMap(
            FlussCatalog.interactive(
                Map.of("bootstrap.servers", "a:1", "client.retry-timeout", "1 min")));

    assertEquals(Duration.ofMinutes(1), options.retryTimeout());
  }

  @Test
  void thereAreNoProcedures() {
    FlussCatalog catalog = new FlussCatalog("c", "fluss", Map.of("bootstrap.servers", "a:1"));

    CatalogException error =
        assertThrows(
            CatalogException.class, () -> catalog.getProcedure(new ObjectPath("sys", "add_acl")));

    assertTrue(error.getMessage().startsWith("There is no procedure sys.add_acl"));
  }
}
