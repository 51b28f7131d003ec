package io.fluss.flink.source.split;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class FlussSplitSerializerTest {

  private static final FlussSplitSerializer SERIALIZER = FlussSplitSerializer.INSTANCE;

  static Stream<FlussSplit> splits() {
    ScanHistory partial =
        ScanHistory.empty().read(new byte[] {0}, 0).read(new byte[] {(byte) 0xff, 1}, 42);
    return Stream.of(
        new LogSplit(1, 0, LogSplit.EARLIEST, LogSplit.NO_STOP),
        new LogSplit(Long.MAX_VALUE, 4095, Long.MAX_VALUE, 0),
        new SnapshotLogSplit(2, 3, true),
        new SnapshotLogSplit(2, 3, false, partial, SnapshotLogSplit.NOT_STARTED),
        new SnapshotLogSplit(2, 3, false, partial.finish(42), SnapshotLogSplit.NOT_STARTED),
        new SnapshotLogSplit(2, 3, false, partial.finish(50), 12),
        new SnapshotLogSplit(2, 3, false, partial.finish(50).withoutPast(99), 99),
        new QuerySplit(5, 1, QuerySplit.Query.LIMIT),
        new QuerySplit(5, 0, QuerySplit.Query.LOOKUP),
        new QuerySplit(5, 0, QuerySplit.Query.COUNT));
  }

  @ParameterizedTest
  @MethodSource("splits")
  void roundTrip(FlussSplit split) throws IOException {
    FlussSplit read = SERIALIZER.deserialize(SERIALIZER.getVersion(), SERIALIZER.serialize(split));

    assertEquals(split, read);
    assertEquals(split.splitId(), read.splitId());
  }

  @Test
  void layoutOfVersionOne() throws IOException {
    byte[] bytes = SERIALIZER.serialize(new LogSplit(0x0102, 3, 4, 5));

    assertEquals(1, SERIALIZER.getVersion());
    assertEquals(
        "01" + "0000000000000102" + "00000003" + "0000000000000004" + "0000000000000005",
        hex(bytes));
  }

  @Test
  void refusesUnknownVersion() throws IOException {
    byte[] bytes = SERIALIZER.serialize(new LogSplit(1, 0, 0, 0));

    IOException e = assertThrows(IOException.class, () -> SERIALIZER.deserialize(2, bytes));
    assertEquals(
        "The checkpoint holds splits of version 2, this connector reads version 1.",
        e.getMessage());
  }

  private static String hex(byte[] bytes) {
    StringBuilder text = new StringBuilder();
    for (byte b : bytes) {
      text.append(String.format("%02x", b));
    }
    return text.toString();
  }
}
