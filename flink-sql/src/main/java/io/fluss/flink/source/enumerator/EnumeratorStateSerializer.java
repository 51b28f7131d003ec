package io.fluss.flink.source.enumerator;

import io.fluss.flink.source.split.FlussSplit;
import io.fluss.flink.source.split.FlussSplitSerializer;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.core.io.SimpleVersionedSerializer;
import org.apache.flink.core.memory.DataInputDeserializer;
import org.apache.flink.core.memory.DataOutputSerializer;

/**
 * The enumerator's state in checkpoints. Big endian; version 2:
 *
 * <pre>
 *   boolean planned | int version of the splits | int n | n x (int length, split bytes)
 *   | int p | p x long partition id
 * </pre>
 *
 * <p>Version 1 had no partitions.
 */
public final class EnumeratorStateSerializer implements SimpleVersionedSerializer<EnumeratorState> {

  public static final EnumeratorStateSerializer INSTANCE = new EnumeratorStateSerializer();

  private static final int VERSION = 2;
  private static final int WITHOUT_PARTITIONS = 1;

  private EnumeratorStateSerializer() {}

  @Override
  public int getVersion() {
    return VERSION;
  }

  @Override
  public byte[] serialize(EnumeratorState state) throws IOException {
    DataOutputSerializer out = new DataOutputSerializer(64);
    out.writeBoolean(state.isPlanned());
    out.writeInt(FlussSplitSerializer.INSTANCE.getVersion());
    out.writeInt(state.unassigned().size());
    for (FlussSplit split : state.unassigned()) {
      byte[] bytes = FlussSplitSerializer.INSTANCE.serialize(split);
      out.writeInt(bytes.length);
      out.write(bytes);
    }
    out.writeInt(state.partitions().size());
    for (long partition : state.partitions()) {
      out.writeLong(partition);
    }
    return out.getCopyOfBuffer();
  }

  @Override
  public EnumeratorState deserialize(int version, byte[] serialized) throws IOException {
    if (version != VERSION && version != WITHOUT_PARTITIONS) {
      throw new IOException(
          "The checkpoint holds an enumerator state of version "
              + version
              + ", this connector reads version "
              + VERSION
              + ".");
    }
    DataInputDeserializer in = new DataInputDeserializer(serialized);
    boolean planned = in.readBoolean();
    int splitVersion = in.readInt();
    int count = in.readInt();
    List<FlussSplit> unassigned = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      byte[] bytes = new byte[in.readInt()];
      in.readFully(bytes);
      unassigned.add(FlussSplitSerializer.INSTANCE.deserialize(splitVersion, bytes));
    }
    List<Long> partitions = new ArrayList<>();
    if (version != WITHOUT_PARTITIONS) {
      for (int left = in.readInt(); left > 0; left--) {
        partitions.add(in.readLong());
      }
    }
    return new EnumeratorState(planned, unassigned, partitions);
  }
}
