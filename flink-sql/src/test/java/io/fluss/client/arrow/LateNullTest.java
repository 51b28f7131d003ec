package io.fluss.client.arrow;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.IntType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.types.RowKind;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Validity bits begin with the first null of a column, wherever in the batch that is. */
class LateNullTest {

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 7, 8, 511, 512, 513, 1024, 5000})
  void theFirstNullMayComeAfterAnyNumberOfValues(int valuesBefore) {
    RowType type = RowType.of(new IntType(true));
    ArrowBatchBuilder builder = new ArrowBatchBuilder(type, Compression.NONE);
    // The second batch is built with the buffers of the first.
    for (int round = 0; round < 2; round++) {
      for (int i = 0; i < valuesBefore; i++) {
        builder.append(GenericRowData.of(i));
      }
      builder.append(GenericRowData.of((Object) null));
      builder.append(GenericRowData.of(-1));
      byte[] payload = builder.build(0);
      ArrowReader.ArrowColumns columns =
          ArrowReader.read(
              payload, 0, payload.length, type.getChildren(), null, new Decompressor());
      for (int i = 0; i < valuesBefore + 2; i++) {
        RowData row = columns.row(i, RowKind.INSERT);
        assertEquals(i == valuesBefore, row.isNullAt(0), "row " + i);
        if (i != valuesBefore) {
          assertEquals(i < valuesBefore ? i : -1, row.getInt(0), "row " + i);
        }
      }
      builder.reset();
    }
  }
}
