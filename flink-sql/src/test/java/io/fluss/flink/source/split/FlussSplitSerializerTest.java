package io.fluss.flink.source.split;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.fluss.client.PartitionInfo;
import io.fluss.client.TableBucket;
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
  void layout() throws IOException {
    String kindTableBucket = "01" + "0000000000000102" + "00000003";
    String offsets = "0000000000000004" + "0000000000000005";

    assertEquals(2, SERIALIZER.getVersion());
    assertEquals(
        kindTableBucket + "ffffffffffffffff" + offsets,
        hex(SERIALIZER.serialize(new LogSplit(0x0102, 3, 4, 5))));
    TableBucket bucket = new TableBucket(new PartitionInfo(7, "a$b"), 3);
    assertEquals(
        kindTableBucket + "0000000000000007" + "0003612462" + offsets,
        hex(SERIALIZER.serialize(new LogSplit(0x0102, bucket, 4, 5))));
  }

  @Test
  void readsVersionOneWhichHadNoPartitions() throws IOException {
    byte[] bytes = new byte[29];
    bytes[0] = 1;
    bytes[8] = 9;
    bytes[12] = 3;
    bytes[20] = 4;
    bytes[28] = 5;

    assertEquals(new LogSplit(9, 3, 4, 5), SERIALIZER.deserialize(1, bytes));
  }

  @Test
  void partitionsAreToldApart() throws IOException {
    LogSplit first = new LogSplit(1, new TableBucket(new PartitionInfo(7, "a"), 3), 0, 0);
    LogSplit second = new LogSplit(1, new TableBucket(new PartitionInfo(8, "b"), 3), 0, 0);

    assertEquals("log-1-p7-3", first.splitId());
    assertNotEquals(first, second);
    FlussSplit read = SERIALIZER.deserialize(2, SERIALIZER.serialize(first));
    assertEquals("a", read.bucket().partition().name());
  }

  @Test
  void refusesUnknownVersion() throws IOException {
    byte[] bytes = SERIALIZER.serialize(new LogSplit(1, 0, 0, 0));

    IOException e = assertThrows(IOException.class, () -> SERIALIZER.deserialize(3, bytes));
    assertEquals(
        "The checkpoint holds splits of version 3, this connector reads version 2.",
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
