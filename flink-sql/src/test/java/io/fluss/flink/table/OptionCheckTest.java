package io.fluss.flink.table;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.Arrays;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.factories.FactoryUtil;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

class OptionCheckTest {

  private static String refusal(Map<String, String> options, Set<String> stored) {
    return assertThrows(ValidationException.class, () -> OptionCheck.checkUse(options, stored))
        .getMessage();
  }

  @Test
  void newTablesKeepPropertiesOfTheUser() {
    assertDoesNotThrow(
        () ->
            OptionCheck.checkNewTable(
                Map.of(
                    "owner", "team a",
                    "table.log.ttl", "1 d",
                    "client.writer.batch-size", "1mb",
                    "scan.startup.mode", "latest",
                    "sink.bucket-shuffle", "true",
                    "bucket.num", "3")));
  }

  @Test
  void newTablesWithMisspeltOptionsAreRefused() {
    ValidationException e =
        assertThrows(
            ValidationException.class,
            () -> OptionCheck.checkNewTable(Map.of("scan.startup.mod", "latest")));
    assertEquals(
        "Unknown option 'scan.startup.mod'. Did you mean 'scan.startup.mode'?", e.getMessage());
    assertThrows(
        ValidationException.class, () -> OptionCheck.checkNewTable(Map.of("bucket.number", "4")));
    e =
        assertThrows(
            ValidationException.class,
            () -> OptionCheck.checkNewTable(Map.of("auto-increment.field", "id")));
    assertEquals(
        "Unknown option 'auto-increment.field'. Did you mean 'auto-increment.fields'?",
        e.getMessage());
  }

  @Test
  void misspeltClientOptionsAreRefused() {
    String expected =
        "Unknown option 'client.writer.batch-sise'. Did you mean 'client.writer.batch-size'?";
    Map<String, String> misspelt = Map.of("client.writer.batch-sise", "1mb");

    assertEquals(expected, refusal(misspelt, Set.of()));
    assertDoesNotThrow(() -> OptionCheck.checkUse(misspelt, misspelt.keySet()));
    for (Executable check :
        Arrays.<Executable>asList(
            () -> OptionCheck.checkNewTable(misspelt),
            () -> OptionCheck.checkChangedOptions(misspelt.keySet()),
            () -> OptionCheck.checkCatalog(misspelt),
            () -> OptionCheck.checkBuilder(misspelt, "client."))) {
      assertEquals(expected, assertThrows(ValidationException.class, check).getMessage());
    }
  }

  @Test
  void optionsOfTheOfficialClientAreKnown() {
    Map<String, String> official =
        Map.of(
            "bootstrap.servers", "a:1",
            "client.lookup.batch-timeout", "100 ms",
            "client.security.sasl.jaas.config", "x",
            "client.scanner.remote-log.prefetch-num", "4",
            "client.fs.s3.endpoint", "http://a:1");
    assertDoesNotThrow(() -> OptionCheck.checkCatalog(official));
    assertDoesNotThrow(() -> OptionCheck.checkUse(official, Set.of()));
  }

  @Test
  void catalogsWithMisspeltClientOptionsAreRefused() {
    Map<String, String> options =
        Map.of(
            "type", "fluss",
            "bootstrap.servers", "127.0.0.1:1",
            "client.request-time-out", "5 s");
    Throwable e =
        assertThrows(
            ValidationException.class,
            () ->
                FactoryUtil.createCatalog(
                    "c", options, new Configuration(), getClass().getClassLoader()));
    while (e.getCause() != null) {
      e = e.getCause();
    }
    assertEquals(
        "Unknown option 'client.request-time-out'. Did you mean 'client.request-timeout'?",
        e.getMessage());
  }

  @Test
  void hintsMustBeOptionsStoredKeysMustNot() {
    assertEquals(
        "Unknown option 'lookup.asink'. Did you mean 'lookup.async'?",
        refusal(Map.of("lookup.asink", "true"), Set.of()));
    assertEquals("Unknown option 'owner'.", refusal(Map.of("owner", "me"), Set.of()));
    assertDoesNotThrow(
        () ->
            OptionCheck.checkUse(
                Map.of("owner", "me", "scan.from.the.future", "x", "lookup.async", "false"),
                Set.of("owner", "scan.from.the.future")));
  }

  @Test
  void optionsWithoutTheirEffectAreRefusedAlsoIfStored() {
    assertEquals(
        "Option 'lookup.insert-if-not-exists' is not supported by this version of the connector.",
        refusal(
            Map.of("lookup.insert-if-not-exists", "true"), Set.of("lookup.insert-if-not-exists")));
    assertDoesNotThrow(
        () -> OptionCheck.checkUse(Map.of("lookup.insert-if-not-exists", "false"), Set.of()));
  }

  @Test
  void buildersTakeOnlyTheirOptions() {
    Map<String, String> options = Map.of("bootstrap.servers", "a:1", "client.id", "me");
    assertDoesNotThrow(() -> OptionCheck.checkBuilder(options, "client."));
    assertDoesNotThrow(
        () -> OptionCheck.checkBuilder(Map.of("sink.ignore-delete", "true"), "client.", "sink."));
    assertThrows(
        ValidationException.class,
        () -> OptionCheck.checkBuilder(Map.of("scan.startup.mode", "latest"), "client."));
    assertThrows(
        ValidationException.class,
        () -> OptionCheck.checkBuilder(Map.of("sink.ignore-deletes", "true"), "sink."));
  }

  @Test
  void nearestKey() {
    assertEquals(
        Optional.of("lookup.cache"),
        OptionCheck.nearest("lookup.cash", Arrays.asList("lookup.async", "lookup.cache")));
    assertEquals(Optional.empty(), OptionCheck.nearest("abc", Arrays.asList("xyz")));
  }
}
