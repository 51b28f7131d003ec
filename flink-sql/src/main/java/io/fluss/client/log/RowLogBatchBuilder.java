package io.fluss.client.log;

import io.fluss.client.row.ByteOutput;
import io.fluss.client.row.RowEncoder;
import io.fluss.client.row.RowFormat;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.RowType;

/**
 * Append-only log batches of INDEXED and COMPACTED tables: per record {@code [int32 length of the
 * rest][int8 change type][row bytes]}. Reused; not thread-safe.
 */
public final class RowLogBatchBuilder implements LogBatchBuilder {
  private final int schemaId;
  private final RowEncoder encoder;
  private final ByteOutput out = new ByteOutput(4096);
  private int count;
  private int lastStart;

  public RowLogBatchBuilder(int schemaId, RowType rowType, RowFormat format) {
    this.schemaId = schemaId;
    this.encoder = RowEncoder.of(format, rowType);
    out.zeros(LogBatchHeader.HEADER_SIZE_V0);
  }

  @Override
  public void append(RowData row) {
    int start = out.size();
    try {
      out.zeros(5);
      encoder.encode(row, null, out);
    } catch (RuntimeException e) {
      out.size(start);
      throw e;
    }
    out.putInt(start, out.size() - start - 4);
    lastStart = start;
    count++;
  }

  @Override
  public int count() {
    return count;
  }

  @Override
  public long sizeBytes() {
    return out.size();
  }

  @Override
  public void truncate(int newCount) {
    if (newCount == 0) {
      out.size(LogBatchHeader.HEADER_SIZE_V0);
    } else if (newCount == count - 1) {
      out.size(lastStart);
    } else {
      throw new IllegalArgumentException("only the last row can be dropped");
    }
    count = newCount;
  }

  @Override
  public byte[] buildAndReset() {
    byte[] batch = out.toByteArray();
    LogBatchHeader.writeAppendOnly(batch, schemaId, count);
    out.size(LogBatchHeader.HEADER_SIZE_V0);
    count = 0;
    return batch;
  }
}
