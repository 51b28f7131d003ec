package io.fluss.client.log;

import io.fluss.client.arrow.ArrowBatchBuilder;
import io.fluss.client.arrow.Compression;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.RowType;

/** Append-only log batches of ARROW tables. Reused; not thread-safe. */
public final class ArrowLogBatchBuilder implements LogBatchBuilder {
  private final int schemaId;
  private final ArrowBatchBuilder columns;

  public ArrowLogBatchBuilder(int schemaId, RowType rowType, Compression compression) {
    this.schemaId = schemaId;
    this.columns = new ArrowBatchBuilder(rowType, compression);
  }

  @Override
  public void append(RowData row) {
    columns.append(row);
  }

  @Override
  public int count() {
    return columns.count();
  }

  @Override
  public long sizeBytes() {
    return columns.sizeBytes();
  }

  @Override
  public void truncate(int count) {
    columns.truncate(count);
  }

  @Override
  public byte[] buildAndReset() {
    byte[] batch = columns.build(LogBatchHeader.HEADER_SIZE_V0);
    LogBatchHeader.writeAppendOnly(batch, schemaId, columns.count());
    columns.reset();
    return batch;
  }
}
