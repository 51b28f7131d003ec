package io.fluss.client.arrow;

import io.fluss.client.row.Bytes;
import java.nio.ByteBuffer;
import java.util.List;
import org.apache.arrow.flatbuf.BodyCompression;
import org.apache.arrow.flatbuf.FieldNode;
import org.apache.arrow.flatbuf.Message;
import org.apache.arrow.flatbuf.MessageHeader;
import org.apache.arrow.flatbuf.RecordBatch;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.ArrayType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.MapType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.utils.LogicalTypeChecks;
import org.apache.flink.types.RowKind;

/**
 * Reads the Arrow payload of a log batch: one encapsulated RecordBatch message ({@code ffffffff},
 * int32 metadata length, flatbuffer, body), no schema message. Plain buffers are not copied,
 * compressed ones are decompressed into new arrays.
 */
public final class ArrowReader {
  private static final int CONTINUATION = 0xFFFFFFFF;

  private final byte[] data;
  private final int bodyPosition;
  private final int bodyEnd;
  private final RecordBatch batch;
  private final Compression compression;
  private final Decompressor decompressor;
  private int node;
  private int buffer;

  private ArrowReader(byte[] data, int position, int limit, Decompressor decompressor) {
    if (limit - position < 8 || Bytes.getInt(data, position) != CONTINUATION) {
      throw Bytes.corrupt("an Arrow payload does not start with a message");
    }
    int metadataLength = Bytes.getInt(data, position + 4);
    if (metadataLength < 8 || metadataLength > limit - position - 8) {
      throw Bytes.corrupt("the metadata of an Arrow message ends outside of its batch");
    }
    this.data = data;
    this.decompressor = decompressor;
    this.bodyPosition = position + 8 + metadataLength;
    this.bodyEnd = limit;
    Message message = Message.getRootAsMessage(ByteBuffer.wrap(data, position + 8, metadataLength));
    this.batch =
        message.headerType() == MessageHeader.RecordBatch
            ? (RecordBatch) message.header(new RecordBatch())
            : null;
    if (batch == null) {
      throw Bytes.corrupt("an Arrow message is no record batch");
    }
    BodyCompression codec = batch.compression();
    this.compression = codec == null ? Compression.NONE : Compression.ofCodec(codec.codec());
  }

  /**
   * Reads a payload.
   *
   * @param types types of the stored columns, in order
   * @param projection stored column per column of the result, -1 for null in every row; null for
   *     all columns
   * @param decompressor kept by the caller for the next payload
   */
  public static ArrowColumns read(
      byte[] data,
      int position,
      int limit,
      List<LogicalType> types,
      int[] projection,
      Decompressor decompressor) {
    try {
      ArrowReader reader = new ArrowReader(data, position, limit, decompressor);
      long rows = reader.batch.length();
      if (rows < 0 || rows > Integer.MAX_VALUE) {
        throw Bytes.corrupt("an Arrow batch states " + rows + " rows");
      }
      Column[] stored = reader.columns(types, (int) rows);
      return new ArrowColumns((int) rows, project(stored, projection));
    } catch (IndexOutOfBoundsException e) {
      throw Bytes.corrupt("an Arrow message is damaged: " + e.getMessage());
    }
  }

  private static Column[] project(Column[] stored, int[] projection) {
    if (projection == null) {
      return stored;
    }
    Column[] result = new Column[projection.length];
    for (int i = 0; i < result.length; i++) {
      result[i] = projection[i] < 0 ? Column.Missing.INSTANCE : stored[projection[i]];
    }
    return result;
  }

  /** Columns of a batch; rows are views. */
  public static final class ArrowColumns {
    private final int rowCount;
    private final Column[] columns;

    private ArrowColumns(int rowCount, Column[] columns) {
      this.rowCount = rowCount;
      this.columns = columns;
    }

    public int rowCount() {
      return rowCount;
    }

    public RowData row(int index, RowKind kind) {
      return new ColumnRow(columns, index, kind);
    }
  }

  private Column[] columns(List<LogicalType> types, int rows) {
    Column[] columns = new Column[types.size()];
    for (int i = 0; i < columns.length; i++) {
      columns[i] = column(types.get(i), rows);
    }
    return columns;
  }

  private Column column(LogicalType type, int rows) {
    FieldNode fieldNode = batch.nodes(node++);
    if (fieldNode == null || fieldNode.length() != rows) {
      throw Bytes.corrupt("an Arrow batch does not have the columns of its schema");
    }
    Column.Buffer validity = nextBuffer(fieldNode.nullCount() == 0 ? -1 : (rows + 7) >>> 3);
    switch (type.getTypeRoot()) {
      case BOOLEAN:
        return new Column.BooleanColumn(validity, nextBuffer((rows + 7) >>> 3));
      case TINYINT:
        return new Column.ByteColumn(validity, values(rows, 1));
      case SMALLINT:
        return new Column.ShortColumn(validity, values(rows, 2));
      case INTEGER:
      case DATE:
        return new Column.IntColumn(validity, values(rows, 4));
      case BIGINT:
        return new Column.LongColumn(validity, values(rows, 8));
      case FLOAT:
        return new Column.FloatColumn(validity, values(rows, 4));
      case DOUBLE:
        return new Column.DoubleColumn(validity, values(rows, 8));
      case TIME_WITHOUT_TIME_ZONE:
        {
          TimeUnit unit = TimeUnit.ofPrecision(LogicalTypeChecks.getPrecision(type));
          return new Column.TimeColumn(validity, values(rows, unit.timeWidth()), unit);
        }
      case TIMESTAMP_WITHOUT_TIME_ZONE:
      case TIMESTAMP_WITH_LOCAL_TIME_ZONE:
        {
          TimeUnit unit = TimeUnit.ofPrecision(LogicalTypeChecks.getPrecision(type));
          return new Column.TimestampColumn(validity, values(rows, 8), unit);
        }
      case DECIMAL:
        return new Column.DecimalColumn(validity, values(rows, 16));
      case BINARY:
        {
          int width = LogicalTypeChecks.getLength(type);
          return new Column.FixedBinaryColumn(validity, values(rows, width), width);
        }
      case CHAR:
      case VARCHAR:
      case VARBINARY:
        {
          Column.Buffer offsets = offsets(rows);
          return new Column.BinaryColumn(validity, offsets, nextBuffer(last(offsets, rows)));
        }
      case ARRAY:
        {
          Column.Buffer offsets = offsets(rows);
          int elements = Math.max(last(offsets, rows), nextNodeLength());
          Column child = column(((ArrayType) type).getElementType(), elements);
          return new Column.ListColumn(validity, offsets, child);
        }
      case MAP:
        {
          Column.Buffer offsets = offsets(rows);
          int entries = Math.max(last(offsets, rows), nextNodeLength());
          node++; // The struct of the entries, which are never null.
          nextBuffer(-1);
          Column keys = column(((MapType) type).getKeyType(), entries);
          Column values = column(((MapType) type).getValueType(), entries);
          return new Column.MapColumn(validity, offsets, keys, values);
        }
      case ROW:
        return new Column.StructColumn(validity, columns(((RowType) type).getChildren(), rows));
      default:
        throw new IllegalArgumentException("no Arrow form of " + type.asSummaryString());
    }
  }

  private int nextNodeLength() {
    FieldNode next = batch.nodes(node);
    return next == null ? 0 : (int) next.length();
  }

  private Column.Buffer values(int rows, int width) {
    return nextBuffer((long) rows * width);
  }

  /** Offsets of {@code rows} values; a batch without rows may leave them out. */
  private Column.Buffer offsets(int rows) {
    return nextBuffer(rows == 0 ? 0 : 4L * (rows + 1));
  }

  private static int last(Column.Buffer offsets, int rows) {
    int last = rows == 0 ? 0 : Bytes.getInt(offsets.data, offsets.offset + 4 * rows);
    if (last < 0) {
      throw Bytes.corrupt("an Arrow column has negative offsets");
    }
    return last;
  }

  /**
   * The next buffer of the body, plain.
   *
   * @param needed bytes it must have; -1: it is not needed, null is returned
   */
  private Column.Buffer nextBuffer(long needed) {
    org.apache.arrow.flatbuf.Buffer location = batch.buffers(buffer++);
    if (location == null) {
      throw Bytes.corrupt("an Arrow batch does not have the columns of its schema");
    }
    if (needed < 0) {
      return null;
    }
    long offset = location.offset();
    long length = location.length();
    if (offset < 0 || length < 0 || offset + length > bodyEnd - bodyPosition) {
      throw Bytes.corrupt("an Arrow buffer lies outside of its batch");
    }
    int start = bodyPosition + (int) offset;
    Column.Buffer plain;
    if (compression == Compression.NONE || length == 0) {
      plain = new Column.Buffer(data, start, (int) length);
    } else if (length < 8) {
      throw Bytes.corrupt("a compressed Arrow buffer has only " + length + " bytes");
    } else if (Bytes.getLong(data, start) == -1) {
      plain = new Column.Buffer(data, start + 8, (int) length - 8);
    } else {
      byte[] decoded = decompressor.decompress(compression, data, start, (int) length);
      plain = new Column.Buffer(decoded, 0, decoded.length);
    }
    if (plain.length < needed) {
      throw Bytes.corrupt(
          "an Arrow buffer has " + plain.length + " bytes, " + needed + " are needed");
    }
    return plain;
  }
}
