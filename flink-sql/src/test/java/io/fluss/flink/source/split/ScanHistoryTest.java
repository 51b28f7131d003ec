package io.fluss.flink.source.split;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;

class ScanHistoryTest {

  private static byte[] key(int value) {
    return new byte[] {(byte) value};
  }

  @Test
  void oneScanNeedsNoFilter() {
    ScanHistory history = ScanHistory.empty().read(key(3), 10).read(key(200), 10).finish(10);

    assertEquals(List.of(new ScanHistory.Range(null, 10)), history.ranges());
    assertEquals(10, history.changelogStart());
    assertEquals(10, history.filterEnd());
    assertFalse(history.contains(key(5), 10));
  }

  @Test
  void changesBelowTheScanOfTheirKeyAreContained() {
    ScanHistory history = ScanHistory.empty().read(key(10), 100).read(key(150), 120).finish(150);

    assertEquals(100, history.changelogStart());
    assertEquals(150, history.filterEnd());
    assertFalse(history.contains(key(10), 100));
    assertTrue(history.contains(key(11), 100));
    assertTrue(history.contains(key(150), 119));
    assertFalse(history.contains(key(150), 120));
    assertTrue(history.contains(key(151), 149));
    assertFalse(history.contains(key(151), 150));
  }

  @Test
  void keysAreComparedUnsigned() {
    ScanHistory history = ScanHistory.empty().read(key(0x80), 5);

    assertTrue(history.wasRead(key(0x7f)));
    assertTrue(history.wasRead(key(0x80)));
    assertFalse(history.wasRead(key(0x81)));
    assertFalse(history.wasRead(new byte[] {(byte) 0x80, 0}));
  }

  @Test
  void nothingWasReadAtFirst() {
    assertFalse(ScanHistory.empty().wasRead(new byte[0]));
    assertThrows(IllegalStateException.class, ScanHistory.empty()::changelogStart);
  }

  @Test
  void dropsRangesThatTheChangelogPassed() {
    ScanHistory history = ScanHistory.empty().read(key(1), 5).finish(9);

    assertSame(history, history.withoutPast(8));
    ScanHistory passed = history.withoutPast(9);
    assertTrue(passed.isComplete());
    assertTrue(passed.ranges().isEmpty());
    assertFalse(passed.contains(key(0), 9));
  }

  @Test
  void refusesKeysAndOffsetsThatGoBack() {
    ScanHistory history = ScanHistory.empty().read(key(5), 10);

    assertThrows(IllegalArgumentException.class, () -> history.read(key(4), 10));
    assertThrows(IllegalArgumentException.class, () -> history.read(key(5), 11));
    assertThrows(IllegalArgumentException.class, () -> history.read(key(6), 9));
    assertThrows(IllegalStateException.class, () -> history.finish(10).read(key(7), 10));
  }
}
