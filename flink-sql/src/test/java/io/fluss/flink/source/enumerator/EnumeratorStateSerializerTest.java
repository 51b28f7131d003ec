package io.fluss.flink.source.enumerator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.fluss.flink.source.split.LogSplit;
import io.fluss.flink.source.split.SnapshotLogSplit;
import java.io.IOException;
import java.util.Arrays;
import java.util.Collections;
import org.junit.jupiter.api.Test;

class EnumeratorStateSerializerTest {

  private static final EnumeratorStateSerializer SERIALIZER = EnumeratorStateSerializer.INSTANCE;

  private static void assertRoundTrip(EnumeratorState state) throws IOException {
    assertEquals(
        state, SERIALIZER.deserialize(SERIALIZER.getVersion(), SERIALIZER.serialize(state)));
  }

  @Test
  void roundTrip() throws IOException {
    assertRoundTrip(new EnumeratorState(false, Collections.emptyList()));
    assertRoundTrip(
        new EnumeratorState(
            true,
            Arrays.asList(
                new LogSplit(1, 0, 5, LogSplit.NO_STOP), new SnapshotLogSplit(1, 1, false))));
    assertRoundTrip(new EnumeratorState(true, Collections.emptyList(), Arrays.asList(4L, 2L)));
  }

  @Test
  void readsVersionOneWhichHadNoPartitions() throws IOException {
    byte[] bytes = {1, 0, 0, 0, 1, 0, 0, 0, 0};

    assertEquals(
        new EnumeratorState(true, Collections.emptyList()), SERIALIZER.deserialize(1, bytes));
  }

  @Test
  void refusesUnknownVersion() throws IOException {
    byte[] bytes = SERIALIZER.serialize(new EnumeratorState(true, Collections.emptyList()));

    assertEquals(2, SERIALIZER.getVersion());
    assertThrows(IOException.class, () -> SERIALIZER.deserialize(0, bytes));
  }
}
