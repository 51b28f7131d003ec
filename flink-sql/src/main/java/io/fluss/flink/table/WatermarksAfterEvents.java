package io.fluss.flink.table;

import org.apache.flink.api.common.eventtime.TimestampAssigner;
import org.apache.flink.api.common.eventtime.TimestampAssignerSupplier;
import org.apache.flink.api.common.eventtime.WatermarkAlignmentParams;
import org.apache.flink.api.common.eventtime.WatermarkGenerator;
import org.apache.flink.api.common.eventtime.WatermarkGeneratorSupplier;
import org.apache.flink.api.common.eventtime.WatermarkOutput;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;

/**
 * The watermarks of another strategy, but a periodic one only if there was a row since the last.
 * Every emitted watermark makes its bucket active again, so a bucket that the reader has marked
 * idle has to be silent until it has a row.
 */
final class WatermarksAfterEvents<T> implements WatermarkStrategy<T> {

  private static final long serialVersionUID = 1L;

  private final WatermarkStrategy<T> strategy;

  WatermarksAfterEvents(WatermarkStrategy<T> strategy) {
    this.strategy = strategy;
  }

  @Override
  public WatermarkGenerator<T> createWatermarkGenerator(
      WatermarkGeneratorSupplier.Context context) {
    WatermarkGenerator<T> generator = strategy.createWatermarkGenerator(context);
    return new WatermarkGenerator<T>() {
      private boolean sawEvent;

      @Override
      public void onEvent(T event, long timestamp, WatermarkOutput output) {
        sawEvent = true;
        generator.onEvent(event, timestamp, output);
      }

      @Override
      public void onPeriodicEmit(WatermarkOutput output) {
        if (sawEvent) {
          sawEvent = false;
          generator.onPeriodicEmit(output);
        }
      }
    };
  }

  @Override
  public TimestampAssigner<T> createTimestampAssigner(TimestampAssignerSupplier.Context context) {
    return strategy.createTimestampAssigner(context);
  }

  @Override
  public WatermarkAlignmentParams getAlignmentParameters() {
    return strategy.getAlignmentParameters();
  }
}
