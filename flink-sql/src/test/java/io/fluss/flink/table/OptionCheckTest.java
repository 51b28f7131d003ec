package io.fluss.flink.table;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.Arrays;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.apache.flink.table.api.ValidationException;
import org.junit.jupiter.api.Test;

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
