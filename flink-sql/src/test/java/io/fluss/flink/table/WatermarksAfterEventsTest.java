package io.fluss.flink.table;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.flink.api.common.eventtime.Watermark;
import org.apache.flink.api.common.eventtime.WatermarkGenerator;
import org.apache.flink.api.common.eventtime.WatermarkOutput;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.junit.jupiter.api.Test;

class WatermarksAfterEventsTest {

  private final List<Long> emitted = new ArrayList<>();

  private final WatermarkOutput output =
      new WatermarkOutput() {
        @Override
        public void emitWatermark(Watermark watermark) {
          emitted.add(watermark.getTimestamp());
        }

        @Override
        public void markIdle() {
          throw new AssertionError("the reader marks what is idle");
        }

        @Override
        public void markActive() {
          throw new AssertionError("a watermark does that");
        }
      };

  @Test
  void silentUntilThereIsARow() {
    WatermarkStrategy<String> strategy =
        WatermarkStrategy.forBoundedOutOfOrderness(Duration.ofMillis(10));
    WatermarkGenerator<String> generator =
        new WatermarksAfterEvents<>(strategy).createWatermarkGenerator(null);

    generator.onPeriodicEmit(output);
    assertEquals(Arrays.asList(), emitted);
    generator.onEvent("a", 1000, output);
    generator.onPeriodicEmit(output);
    generator.onPeriodicEmit(output);
    assertEquals(Arrays.asList(989L), emitted);
    generator.onEvent("b", 500, output);
    generator.onPeriodicEmit(output);
    assertEquals(Arrays.asList(989L, 989L), emitted, "active again, and not moved back");
  }

  @Test
  void alignmentIsKept() {
    WatermarkStrategy<String> strategy =
        WatermarkStrategy.<String>forMonotonousTimestamps()
            .withWatermarkAlignment("g", Duration.ofSeconds(3));
    assertEquals(
        3000,
        new WatermarksAfterEvents<>(strategy)
            .getAlignmentParameters()
            .getMaxAllowedWatermarkDrift());
  }
}
