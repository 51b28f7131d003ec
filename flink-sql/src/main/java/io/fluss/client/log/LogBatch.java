package io.fluss.client.log;

import io.fluss.client.ChangeType;
import io.fluss.client.arrow.ArrowReader;
import io.fluss.client.arrow.Decompressor;
import io.fluss.client.row.Bytes;
import io.fluss.client.row.RowDecoder;
import java.util.List;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.LogicalType;

/** Records of one log batch, rows as views. Immutable. */
public abstract class LogBatch {
  private final LogBatchHeader header;
  private final int size;

  private LogBatch(LogBatchHeader header, int size) {
    this.header = header;
    this.size = size;
  }

  /** Number of records. */
  public final int size() {
    return size;
  }

  public final long offset(int index) {
    return header.baseOffset() + index;
  }

  /** Offset after the batch. */
  public final long nextOffset() {
    return header.nextOffset();
  }

  /** Milliseconds since the epoch. */
  public final long timestamp() {
    return header.commitTimestamp();
  }

  public abstract ChangeType changeType(int index);

  public abstract RowData row(int index);

  /**
   * Reads the records of an ARROW batch.
   *
   * @param types types of the columns that the batch holds
   * @param projection stored column per column of the rows, -1 for null; null for all in order
   * @param decompressor kept by the caller for the next batch
   */
  public static LogBatch readArrow(
      LogBatchHeader header, List<LogicalType> types, int[] projection, Decompressor decompressor) {
    int count = header.recordCount();
    if (count == 0) {
      return new Empty(header);
    }
    int changeTypes = header.recordsPosition();
    int payload = header.appendOnly() ? changeTypes : changeTypes + count;
    if (payload > header.endPosition()) {
      throw Bytes.corrupt("a log batch ends in the middle of its change types");
    }
    ArrowReader.ArrowColumns columns =
        ArrowReader.read(
            header.data(), payload, header.endPosition(), types, projection, decompressor);
    if (columns.rowCount() != count) {
      throw Bytes.corrupt(
          "a log batch states " + count + " records and holds " + columns.rowCount());
    }
    return new Arrow(header, columns, changeTypes);
  }

  /** Reads the records of an INDEXED or COMPACTED batch. */
  public static LogBatch readRows(LogBatchHeader header, RowDecoder decoder) {
    int count = header.recordCount();
    byte[] data = header.data();
    // A record has at least its length and change type, which bounds the array below.
    if ((long) count * 5 > header.endPosition() - header.recordsPosition()) {
      throw Bytes.corrupt("a log batch states more records than it has bytes for");
    }
    int[] positions = new int[count + 1];
    int position = header.recordsPosition();
    for (int i = 0; i < count; i++) {
      int remaining = header.endPosition() - position - 4;
      int length = remaining < 1 ? -1 : Bytes.getInt(data, position);
      if (length < 1 || length > remaining) {
        throw Bytes.corrupt("a log batch ends in the middle of a record");
      }
      positions[i] = position + 4;
      position += 4 + length;
    }
    positions[count] = position + 4;
    return new Rows(header, positions, decoder);
  }

  private static final class Empty extends LogBatch {
    Empty(LogBatchHeader header) {
      super(header, 0);
    }

    @Override
    public ChangeType changeType(int index) {
      throw new IndexOutOfBoundsException(index);
    }

    @Override
    public RowData row(int index) {
      throw new IndexOutOfBoundsException(index);
    }
  }

  private static final class Arrow extends LogBatch {
    private final ArrowReader.ArrowColumns columns;
    private final byte[] data;
    private final int changeTypes;
    private final boolean appendOnly;

    Arrow(LogBatchHeader header, ArrowReader.ArrowColumns columns, int changeTypes) {
      super(header, columns.rowCount());
      this.columns = columns;
      this.data = header.data();
      this.changeTypes = changeTypes;
      this.appendOnly = header.appendOnly();
    }

    @Override
    public ChangeType changeType(int index) {
      return appendOnly ? ChangeType.APPEND : ChangeType.ofCode(data[changeTypes + index]);
    }

    @Override
    public RowData row(int index) {
      return columns.row(index, changeType(index).rowKind());
    }
  }

  private static final class Rows extends LogBatch {
    private final byte[] data;
    private final int[] positions;
    private final RowDecoder decoder;

    Rows(LogBatchHeader header, int[] positions, RowDecoder decoder) {
      super(header, positions.length - 1);
      this.data = header.data();
      this.positions = positions;
      this.decoder = decoder;
    }

    @Override
    public ChangeType changeType(int index) {
      return ChangeType.ofCode(data[positions[index]]);
    }

    @Override
    public RowData row(int index) {
      int start = positions[index] + 1;
      int length = positions[index + 1] - 4 - start;
      return decoder.decode(data, start, length, changeType(index).rowKind());
    }
  }
}
