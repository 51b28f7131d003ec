package io.fluss.flink.table;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fluss.flink.source.OffsetsInitializer;
import java.time.Duration;
import java.time.ZoneId;
import java.util.Arrays;
import java.util.Map;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.ValidationException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class ScanOptionsTest {

  private static final ZoneId NEW_YORK = ZoneId.of("America/New_York");

  private static OffsetsInitializer start(Map<String, String> options) {
    return new ScanOptions(Configuration.fromMap(options), true, NEW_YORK, false).start();
  }

  @ParameterizedTest
  @CsvSource({"full, FULL", "EARLIEST, EARLIEST", "latest, LATEST"})
  void modes(String text, OffsetsInitializer.Kind kind) {
    assertEquals(kind, start(Map.of("scan.startup.mode", text)).kind());
  }

  @Test
  void defaultIsFull() {
    assertEquals(OffsetsInitializer.full(), start(Map.of()));
  }

  @Test
  void timestampInTheTimeZoneOfTheSession() {
    assertEquals(
        OffsetsInitializer.timestamp(1357016400000L),
        start(
            Map.of(
                "scan.startup.mode", "timestamp",
                "scan.startup.timestamp", "2013-01-01 00:00:00")));
    assertEquals(1357016400123L, ScanOptions.epochMillis("1357016400123", ZoneId.of("Asia/Tokyo")));
  }

  @Test
  void idleTimeOutsOfFlinkCount() {
    assertEquals(Duration.ofSeconds(10), idleAfter(Map.of(), false));
    assertEquals(Duration.ZERO, idleAfter(Map.of(), true));
    for (String timeout : Arrays.asList("0 s", "1 min")) {
      assertEquals(Duration.ZERO, idleAfter(Map.of("scan.watermark.idle-timeout", timeout), false));
    }
  }

  private static Duration idleAfter(Map<String, String> options, boolean session) {
    return new ScanOptions(Configuration.fromMap(options), true, NEW_YORK, session).idleAfter();
  }

  @Test
  void timestampIsRequiredInItsMode() {
    ValidationException e =
        assertThrows(
            ValidationException.class, () -> start(Map.of("scan.startup.mode", "timestamp")));
    assertTrue(e.getMessage().contains("'scan.startup.timestamp' is required"));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"2013-02-30 00:00:00", "2013-01-01", "yesterday", "99999999999999999999", ""})
  void otherTextIsRefused(String text) {
    assertThrows(ValidationException.class, () -> ScanOptions.epochMillis(text, NEW_YORK));
  }
}
