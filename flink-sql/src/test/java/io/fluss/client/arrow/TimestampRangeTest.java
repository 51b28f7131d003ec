package io.fluss.client.arrow;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.LocalDateTime;
import java.util.Collections;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.types.logical.LocalZonedTimestampType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.TimestampType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Timestamps at the ends of what 64 bits of nanoseconds hold. */
class TimestampRangeTest {

  private static ArrowBatchBuilder batch(LogicalType type) {
    return new ArrowBatchBuilder(
        new RowType(false, Collections.singletonList(new RowType.RowField("at", type))),
        Compression.NONE);
  }

  private static GenericRowData row(String text) {
    return GenericRowData.of(TimestampData.fromLocalDateTime(LocalDateTime.parse(text)));
  }

  @ParameterizedTest
  @ValueSource(strings = {"1677-09-21T00:12:43.145224192", "2262-04-11T23:47:16.854775807"})
  void theWholeRangeIsTaken(String text) {
    ArrowBatchBuilder batch = batch(new TimestampType(9));
    batch.append(row(text));

    assertEquals(1, batch.count());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "1677-09-21T00:12:43.145224191",
        "2262-04-11T23:47:16.854775808",
        "0001-01-01T00:00",
        "9999-12-31T00:00"
      })
  void whatIsOutsideOfItIsRefusedWithColumnValueAndRange(String text) {
    for (LogicalType type :
        new LogicalType[] {new TimestampType(9), new LocalZonedTimestampType(7)}) {
      ArrowBatchBuilder batch = batch(type);
      IllegalArgumentException e =
          assertThrows(IllegalArgumentException.class, () -> batch.append(row(text)));

      assertEquals(
          "Column 'at' of type "
              + type.asSummaryString()
              + " cannot hold "
              + text
              + ": its values lie between 1677-09-21T00:12:43.145224192 and"
              + " 2262-04-11T23:47:16.854775807. A smaller precision has a wider range.",
          e.getMessage());
      assertEquals(0, batch.count());
    }
  }

  @Test
  void microsecondsHoldEveryTimestampOfSql() {
    ArrowBatchBuilder batch = batch(new TimestampType(6));
    batch.append(row("0001-01-01T00:00"));
    batch.append(row("9999-12-31T23:59:59.999999"));

    assertTrue(batch.count() == 2);
  }
}
