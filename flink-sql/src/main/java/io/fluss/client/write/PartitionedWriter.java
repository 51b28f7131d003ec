package io.fluss.client.write;

import io.fluss.client.TableInfo;
import io.fluss.client.TableWriter;
import io.fluss.client.row.PartitionNames;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import org.apache.flink.table.data.RowData;

/**
 * Writes each row with a writer of its partition. Writers are opened with the first row of a
 * partition, and closed by the flush that follows one without rows for it.
 *
 * @param <W> writer of one partition
 */
abstract class PartitionedWriter<W extends BatchingWriter<?>> implements TableWriter {
  private final PartitionNames names;
  private final Function<String, TableInfo> partitions;

  // Guarded by this.
  private final Map<String, W> writers = new HashMap<>();
  private final Set<String> usedSinceFlush = new HashSet<>();
  private long bytesOfClosed;
  private boolean closed;

  /**
   * @param partitions opens a partition by its name, and creates it if that is wanted
   */
  PartitionedWriter(TableInfo table, Function<String, TableInfo> partitions) {
    this.names = new PartitionNames(table.rowType(), table.partitionKeyIndexes());
    this.partitions = partitions;
  }

  abstract W open(TableInfo partition);

  /** Called, and the writer used, under the lock: a flush closes writers it finds unused. */
  final W writerOf(RowData row) {
    if (closed) {
      throw new IllegalStateException("the writer is closed");
    }
    String name = names.of(row);
    W writer = writers.get(name);
    if (writer == null) {
      writer = open(partitions.apply(name));
      writers.put(name, writer);
    }
    usedSinceFlush.add(name);
    return writer;
  }

  @Override
  public final void flush() throws IOException {
    List<W> all;
    synchronized (this) {
      closeUnused();
      all = new ArrayList<>(writers.values());
      usedSinceFlush.clear();
    }
    for (W writer : all) {
      writer.send();
    }
    for (W writer : all) {
      writer.flush();
    }
  }

  /** What writers without rows since the last flush had, that flush has sent. */
  private void closeUnused() {
    Iterator<Map.Entry<String, W>> entries = writers.entrySet().iterator();
    while (entries.hasNext()) {
      Map.Entry<String, W> entry = entries.next();
      if (!usedSinceFlush.contains(entry.getKey())) {
        bytesOfClosed += entry.getValue().bytesSent();
        entry.getValue().close();
        entries.remove();
      }
    }
  }

  @Override
  public final synchronized long bytesSent() {
    return bytesOfClosed + writers.values().stream().mapToLong(TableWriter::bytesSent).sum();
  }

  @Override
  public final synchronized void close() {
    closed = true;
    writers.values().forEach(TableWriter::close);
    writers.clear();
  }
}
