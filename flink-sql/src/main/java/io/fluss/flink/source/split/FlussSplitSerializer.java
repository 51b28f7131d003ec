package io.fluss.flink.source.split;

import io.fluss.client.PartitionInfo;
import io.fluss.client.TableBucket;
import io.fluss.flink.source.split.QuerySplit.Query;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.core.io.SimpleVersionedSerializer;
import org.apache.flink.core.memory.DataInputDeserializer;
import org.apache.flink.core.memory.DataOutputSerializer;

/**
 * Splits in checkpoints. Big endian; version 2:
 *
 * <pre>
 *   byte kind (1 log, 2 snapshot-log, 3 query) | long table id | int bucket
 *   | long partition id (-1: none) | UTF name of the partition, if there is one
 *   log:          long start offset | long stop offset (Long.MIN_VALUE: none)
 *   snapshot-log: boolean bounded | long log offset (-1: not started) | boolean history complete
 *                 | int n | n x (int length of the last key, -1: open; key bytes; long offset)
 *   query:        byte query (0 limit, 1 lookup, 2 count)
 * </pre>
 *
 * <p>Version 1 had no partitions.
 */
public final class FlussSplitSerializer implements SimpleVersionedSerializer<FlussSplit> {

  public static final FlussSplitSerializer INSTANCE = new FlussSplitSerializer();

  private static final int VERSION = 2;
  private static final int WITHOUT_PARTITIONS = 1;
  private static final long NO_PARTITION = -1;

  private static final byte LOG = 1;
  private static final byte SNAPSHOT_LOG = 2;
  private static final byte QUERY = 3;

  private FlussSplitSerializer() {}

  @Override
  public int getVersion() {
    return VERSION;
  }

  @Override
  public byte[] serialize(FlussSplit split) throws IOException {
    DataOutputSerializer out = new DataOutputSerializer(64);
    out.writeByte(kindOf(split));
    out.writeLong(split.tableId());
    out.writeInt(split.bucket().bucket());
    PartitionInfo partition = split.bucket().partition();
    out.writeLong(partition == null ? NO_PARTITION : partition.id());
    if (partition != null) {
      out.writeUTF(partition.name());
    }
    if (split instanceof LogSplit) {
      LogSplit log = (LogSplit) split;
      out.writeLong(log.startOffset());
      out.writeLong(log.stopOffset());
    } else if (split instanceof SnapshotLogSplit) {
      writeSnapshotLog((SnapshotLogSplit) split, out);
    } else {
      out.writeByte(((QuerySplit) split).query().ordinal());
    }
    return out.getCopyOfBuffer();
  }

  private static byte kindOf(FlussSplit split) {
    if (split instanceof LogSplit) {
      return LOG;
    }
    return split instanceof SnapshotLogSplit ? SNAPSHOT_LOG : QUERY;
  }

  private static void writeSnapshotLog(SnapshotLogSplit split, DataOutputSerializer out)
      throws IOException {
    out.writeBoolean(split.isBounded());
    out.writeLong(split.logOffset());
    out.writeBoolean(split.history().isComplete());
    out.writeInt(split.history().ranges().size());
    for (ScanHistory.Range range : split.history().ranges()) {
      byte[] key = range.lastKey();
      out.writeInt(key == null ? -1 : key.length);
      if (key != null) {
        out.write(key);
      }
      out.writeLong(range.offset());
    }
  }

  @Override
  public FlussSplit deserialize(int version, byte[] serialized) throws IOException {
    if (version != VERSION && version != WITHOUT_PARTITIONS) {
      throw new IOException(
          "The checkpoint holds splits of version "
              + version
              + ", this connector reads version "
              + VERSION
              + ".");
    }
    DataInputDeserializer in = new DataInputDeserializer(serialized);
    byte kind = in.readByte();
    long tableId = in.readLong();
    TableBucket bucket = readBucket(version, in);
    switch (kind) {
      case LOG:
        return new LogSplit(tableId, bucket, in.readLong(), in.readLong());
      case SNAPSHOT_LOG:
        return readSnapshotLog(tableId, bucket, in);
      case QUERY:
        return new QuerySplit(tableId, bucket, Query.values()[in.readByte()]);
      default:
        throw new IOException("Unknown kind of split " + kind + ".");
    }
  }

  private static TableBucket readBucket(int version, DataInputDeserializer in) throws IOException {
    int bucket = in.readInt();
    long partitionId = version == WITHOUT_PARTITIONS ? NO_PARTITION : in.readLong();
    return partitionId == NO_PARTITION
        ? new TableBucket(bucket)
        : new TableBucket(new PartitionInfo(partitionId, in.readUTF()), bucket);
  }

  private static SnapshotLogSplit readSnapshotLog(
      long tableId, TableBucket bucket, DataInputDeserializer in) throws IOException {
    boolean bounded = in.readBoolean();
    long logOffset = in.readLong();
    boolean complete = in.readBoolean();
    int count = in.readInt();
    List<ScanHistory.Range> ranges = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      int length = in.readInt();
      byte[] key = null;
      if (length >= 0) {
        key = new byte[length];
        in.readFully(key);
      }
      ranges.add(new ScanHistory.Range(key, in.readLong()));
    }
    return new SnapshotLogSplit(
        tableId, bucket, bounded, ScanHistory.of(ranges, complete), logOffset);
  }
}
