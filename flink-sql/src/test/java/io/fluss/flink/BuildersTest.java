package io.fluss.flink;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.fluss.flink.sink.FlussSink;
import io.fluss.flink.source.FlussSource;
import org.apache.flink.table.api.ValidationException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** What the builders of the DataStream API say when something was forgotten. */
class BuildersTest {

  private static void assertRefused(String message, Executable build) {
    assertEquals(message, assertThrows(ValidationException.class, build).getMessage());
  }

  @Test
  void whatIsMissingIsNamed() {
    String needs = "The builder of a Fluss source or sink needs ";
    assertRefused(needs + "setBootstrapServers.", () -> FlussSource.builder().build());
    assertRefused(
        needs + "setDatabase.",
        () -> FlussSource.builder().setBootstrapServers("127.0.0.1:1").build());
    assertRefused(
        needs + "setTable.",
        () ->
            FlussSource.builder()
                .setBootstrapServers("127.0.0.1:1")
                .setDatabase("db")
                .buildForRowData());
    assertRefused(
        needs + "setDatabase.",
        () -> FlussSink.builder().setBootstrapServers("127.0.0.1:1").build());
    assertRefused(
        needs + "a value for option 'client.id'.",
        () -> FlussSink.builder().setOption("client.id", null));
  }
}
