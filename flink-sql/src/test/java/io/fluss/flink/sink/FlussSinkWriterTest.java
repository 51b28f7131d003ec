package io.fluss.flink.sink;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fluss.client.AppendWriter;
import io.fluss.client.TableInfo;
import io.fluss.client.UpsertWriter;
import io.fluss.flink.Tables;
import io.fluss.flink.row.RowConverter.SqlDates;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.flink.api.java.functions.KeySelector;
import org.apache.flink.metrics.groups.SinkWriterMetricGroup;
import org.apache.flink.runtime.metrics.groups.InternalSinkWriterMetricGroup;
import org.apache.flink.runtime.metrics.groups.UnregisteredMetricGroups;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.types.RowKind;
import org.junit.jupiter.api.Test;

class FlussSinkWriterTest {

  private final FakeWriter client = new FakeWriter();
  private final SinkWriterMetricGroup metrics =
      InternalSinkWriterMetricGroup.wrap(
          UnregisteredMetricGroups.createUnregisteredOperatorMetricGroup());

  private FlussSinkWriter<RowData> writer(RowWriter rows) {
    return new FlussSinkWriter<>(rows, new RowDataSerializer(), metrics);
  }

  private RowWriter upserts(boolean ignoreDelete) {
    return RowWriter.upserts(() -> client.log("closed"), client, alignment(), ignoreDelete);
  }

  private RowWriter appends(boolean ignoreDelete) {
    return RowWriter.appends(() -> client.log("closed"), client, alignment(), ignoreDelete);
  }

  private static ColumnAlignment alignment() {
    TableInfo table = Tables.primaryKeyTable(1);
    return new ColumnAlignment(table, table.rowType(), null, false);
  }

  private static void writeAllKinds(FlussSinkWriter<RowData> writer) throws IOException {
    long id = 0;
    for (RowKind kind : RowKind.values()) {
      writer.write(GenericRowData.ofKind(kind, id++, null, null), null);
    }
  }

  @Test
  void kindsOfAnUpsert() throws Exception {
    FlussSinkWriter<RowData> writer = writer(upserts(false));
    writeAllKinds(writer);
    writer.flush(false);
    writer.close();

    assertEquals(
        Arrays.asList("upsert 0", "delete 1", "upsert 2", "delete 3", "flush", "close", "closed"),
        client.calls);
    assertEquals(4, metrics.getNumRecordsSendCounter().getCount());
    assertEquals(4, metrics.getIOMetricGroup().getNumRecordsOutCounter().getCount());
    assertEquals(100, metrics.getNumBytesSendCounter().getCount());
  }

  @Test
  void ignoredDeletes() throws Exception {
    writeAllKinds(writer(upserts(true)));
    assertEquals(Arrays.asList("upsert 0", "upsert 2"), client.calls);

    client.calls.clear();
    writeAllKinds(writer(appends(true)));
    assertEquals(Arrays.asList("append 0", "append 2"), client.calls);
  }

  @Test
  void theEndOfInputIsFlushed() throws Exception {
    FlussSinkWriter<RowData> writer = writer(appends(false));
    writer.write(GenericRowData.of(1L, null, null), null);
    writer.flush(true);

    assertEquals(Arrays.asList("append 1", "flush"), client.calls);
  }

  @Test
  void elementsOfAnotherTypeAreNamed() {
    RowRowSerializer serializer = new RowRowSerializer(Tables.ROW_TYPE, SqlDates.AMBIGUOUS);
    assertEquals(
        "A Fluss sink takes a stream of Row, not of byte[]. A Python stream needs its type:"
            + " output_type=Types.ROW_NAMED(names, types).",
        assertThrows(ValidationException.class, () -> serializer.rowOf(new byte[3])).getMessage());
    assertEquals(
        "A Fluss sink takes a stream of Row, not of String.",
        assertThrows(ValidationException.class, () -> serializer.rowOf("x")).getMessage());

    @SuppressWarnings("unchecked")
    FlussSinkWriter<Object> writer = (FlussSinkWriter<Object>) (Object) writer(upserts(false));
    assertThrows(ValidationException.class, () -> writer.write(new byte[3], null));
    KeySelector<Object, Integer> selector = bucketOfAnyElement();
    assertThrows(ValidationException.class, () -> selector.getKey(new byte[3]));
  }

  @SuppressWarnings("unchecked")
  private static KeySelector<Object, Integer> bucketOfAnyElement() {
    BucketShuffle shuffle = new BucketShuffle(Tables.ROW_TYPE, Arrays.asList("id"), 2);
    return (KeySelector<Object, Integer>)
        (Object)
            new BucketShuffle.RowToBucket<>(
                shuffle, new RowRowSerializer(Tables.ROW_TYPE, SqlDates.AMBIGUOUS));
  }

  @Test
  void failuresReachTheTask() throws Exception {
    FlussSinkWriter<RowData> writer = writer(upserts(false));
    client.failure = new IOException("batch lost");

    assertThrows(IOException.class, () -> writer.write(GenericRowData.of(1L, null, null), null));
    assertThrows(IOException.class, () -> writer.flush(false));
    assertEquals(1, metrics.getNumRecordsOutErrorsCounter().getCount());
    assertTrue(client.calls.isEmpty());
  }

  /** Notes what it is told; rows by the id in their first column. */
  private static final class FakeWriter implements UpsertWriter, AppendWriter {
    final List<String> calls = new ArrayList<>();
    IOException failure;

    void log(String call) {
      calls.add(call);
    }

    private void act(String call) throws IOException {
      if (failure != null) {
        throw failure;
      }
      log(call);
    }

    @Override
    public void append(RowData row) throws IOException {
      act("append " + row.getLong(0));
    }

    @Override
    public void upsert(RowData row) throws IOException {
      act("upsert " + row.getLong(0));
    }

    @Override
    public void delete(RowData row) throws IOException {
      act("delete " + row.getLong(0));
    }

    @Override
    public void flush() throws IOException {
      act("flush");
    }

    @Override
    public long bytesSent() {
      return 100;
    }

    @Override
    public void close() {
      log("close");
    }
  }
}
