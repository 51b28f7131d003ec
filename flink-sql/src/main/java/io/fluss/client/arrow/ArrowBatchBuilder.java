package io.fluss.client.arrow;

import com.google.flatbuffers.FlatBufferBuilder;
import io.fluss.client.row.ByteOutput;
import java.util.Arrays;
import java.util.List;
import org.apache.arrow.flatbuf.BodyCompression;
import org.apache.arrow.flatbuf.BodyCompressionMethod;
import org.apache.arrow.flatbuf.Buffer;
import org.apache.arrow.flatbuf.FieldNode;
import org.apache.arrow.flatbuf.Message;
import org.apache.arrow.flatbuf.MessageHeader;
import org.apache.arrow.flatbuf.MetadataVersion;
import org.apache.arrow.flatbuf.RecordBatch;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.RowType;

/** Gathers rows as Arrow columns and writes the payload of a log batch. Reused; not thread-safe. */
public final class ArrowBatchBuilder {
  private final ColumnWriter[] columns;
  private final Compression compression;
  private final Compression.Encoder encoder;
  private final ByteOutput body = new ByteOutput(4096);
  private int count;

  public ArrowBatchBuilder(RowType rowType, Compression compression) {
    List<RowType.RowField> fields = rowType.getFields();
    columns = new ColumnWriter[fields.size()];
    for (int i = 0; i < columns.length; i++) {
      columns[i] = ColumnWriter.of(fields.get(i).getName(), fields.get(i).getType());
    }
    this.compression = compression;
    this.encoder = compression == Compression.NONE ? null : new Compression.Encoder(compression);
  }

  /** Adds a row. A row that cannot be written leaves the batch as it was. */
  public void append(RowData row) {
    try {
      for (int i = 0; i < columns.length; i++) {
        columns[i].write(row, i);
      }
      count++;
    } catch (RuntimeException e) {
      // A column may have failed in the middle of a nested value: cutting brings all of them back
      // in step.
      truncate(count);
      throw e;
    }
  }

  /** Drops the rows after the first {@code newCount}. */
  public void truncate(int newCount) {
    for (ColumnWriter column : columns) {
      column.truncate(newCount);
    }
    count = newCount;
  }

  public int count() {
    return count;
  }

  /** Uncompressed size of the rows so far. */
  public long sizeBytes() {
    long size = 0;
    for (ColumnWriter column : columns) {
      size += column.sizeBytes();
    }
    return size;
  }

  /** Starts the next batch. */
  public void reset() {
    for (ColumnWriter column : columns) {
      column.reset();
    }
    count = 0;
  }

  /** The encapsulated RecordBatch message with all rows, behind {@code headroom} zero bytes. */
  public byte[] build(int headroom) {
    Parts parts = new Parts();
    body.clear();
    for (ColumnWriter column : columns) {
      column.emit(parts);
    }
    byte[] metadata = metadata(parts);
    int padded = (metadata.length + 7) & ~7;
    byte[] batch = new byte[headroom + 8 + padded + body.size()];
    ByteOutput prefix = new ByteOutput(8);
    prefix.writeInt(-1);
    prefix.writeInt(padded);
    System.arraycopy(prefix.array(), 0, batch, headroom, 8);
    System.arraycopy(metadata, 0, batch, headroom + 8, metadata.length);
    System.arraycopy(body.array(), 0, batch, headroom + 8 + padded, body.size());
    return batch;
  }

  private byte[] metadata(Parts parts) {
    FlatBufferBuilder builder = new FlatBufferBuilder(64 + 16 * (parts.nodes + parts.buffers));
    RecordBatch.startNodesVector(builder, parts.nodes);
    for (int i = parts.nodes - 1; i >= 0; i--) {
      FieldNode.createFieldNode(builder, parts.lengths[i], parts.nullCounts[i]);
    }
    int nodes = builder.endVector();
    RecordBatch.startBuffersVector(builder, parts.buffers);
    for (int i = parts.buffers - 1; i >= 0; i--) {
      Buffer.createBuffer(builder, parts.offsets[i], parts.sizes[i]);
    }
    int buffers = builder.endVector();
    int codec =
        compression == Compression.NONE
            ? 0
            : BodyCompression.createBodyCompression(
                builder, compression.codec(), BodyCompressionMethod.BUFFER);
    RecordBatch.startRecordBatch(builder);
    RecordBatch.addLength(builder, count);
    RecordBatch.addNodes(builder, nodes);
    RecordBatch.addBuffers(builder, buffers);
    if (codec != 0) {
      RecordBatch.addCompression(builder, codec);
    }
    int recordBatch = RecordBatch.endRecordBatch(builder);
    Message.startMessage(builder);
    Message.addVersion(builder, MetadataVersion.V5);
    Message.addHeaderType(builder, MessageHeader.RecordBatch);
    Message.addHeader(builder, recordBatch);
    Message.addBodyLength(builder, body.size());
    builder.finish(Message.endMessage(builder));
    return builder.sizedByteArray();
  }

  /** Writes buffers to the body, padded to 8, and notes nodes and locations for the metadata. */
  private final class Parts implements ColumnWriter.Sink {
    private int nodes;
    private long[] lengths = new long[16];
    private long[] nullCounts = new long[16];
    private int buffers;
    private long[] offsets = new long[32];
    private long[] sizes = new long[32];

    @Override
    public void node(int length, int nullCount) {
      if (nodes == lengths.length) {
        lengths = Arrays.copyOf(lengths, 2 * nodes);
        nullCounts = Arrays.copyOf(nullCounts, 2 * nodes);
      }
      lengths[nodes] = length;
      nullCounts[nodes++] = nullCount;
    }

    @Override
    public void buffer(byte[] data, int length) {
      if (buffers == offsets.length) {
        offsets = Arrays.copyOf(offsets, 2 * buffers);
        sizes = Arrays.copyOf(sizes, 2 * buffers);
      }
      int start = body.size();
      if (length > 0) {
        if (compression == Compression.NONE) {
          body.writeBytes(data, 0, length);
        } else {
          encoder.encode(data, length, body);
        }
      }
      offsets[buffers] = start;
      sizes[buffers++] = body.size() - start;
      body.zeros(-body.size() & 7);
    }
  }
}
