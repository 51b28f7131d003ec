package io.fluss.flink.source.enumerator;

import io.fluss.client.TableBucket;
import io.fluss.flink.source.NothingToRead;
import io.fluss.flink.source.split.FlussSplit;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import javax.annotation.Nullable;
import org.apache.flink.api.connector.source.SplitEnumerator;
import org.apache.flink.api.connector.source.SplitEnumeratorContext;
import org.apache.flink.api.connector.source.SplitsAssignment;
import org.apache.flink.util.FlinkRuntimeException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Gives the splits of a scan to the readers. Its life, in order:
 *
 * <ol>
 *   <li>It is created for a new job, or restored from a checkpoint with the splits that no reader
 *       had and whether the splits were made at all.
 *   <li>{@link #start} has the splits made by the planner outside of the coordinator's thread,
 *       unless they were made before the checkpoint. If that fails, the job fails.
 *   <li>With a discovery interval the planner then makes the splits of new partitions, again and
 *       again; a failure is logged, and the next try may succeed. Such a scan never ends.
 *   <li>Readers register with {@link #addReader}, before or after the splits are there. The splits
 *       of bucket {@code b} belong to reader {@code b % parallelism} (for partitions the row of
 *       readers begins elsewhere for each), which gets them as soon as both are there, without a
 *       request.
 *   <li>A reader that has its share of the planned splits is told that there will be no more. A
 *       bounded reader ends when it has read them; one without splits ends at once and holds back
 *       no watermark. With a discovery interval there may always be more: then a reader that gets
 *       nothing is told so, and holds back no watermark either until it gets a split.
 *   <li>{@link #snapshotState} keeps the splits not yet given out. Those given out since the last
 *       checkpoint are remembered by Flink, those before are in the readers' state.
 *   <li>When a reader fails, {@link #addSplitsBack} brings back what it got since the checkpoint it
 *       restarts from; its next registration gives it the splits again.
 *   <li>{@link #close} ends it; a planning still running is abandoned by Flink.
 * </ol>
 */
public final class FlussSplitEnumerator implements SplitEnumerator<FlussSplit, EnumeratorState> {

  private static final Logger LOG = LoggerFactory.getLogger(FlussSplitEnumerator.class);

  private final SplitEnumeratorContext<FlussSplit> context;
  private final SplitPlanner planner;

  /** 0: partitions are not looked for. */
  private final long discoveryIntervalMs;

  private boolean planned;
  private final Set<Long> partitions = ConcurrentHashMap.newKeySet();
  private final Map<String, FlussSplit> unassigned = new LinkedHashMap<>();
  private final Set<Integer> readersWithAll = new HashSet<>();

  /** The enumerator of a new job. */
  public FlussSplitEnumerator(SplitEnumeratorContext<FlussSplit> context, SplitPlanner planner) {
    this(context, planner, null, 0);
  }

  /** The enumerator of a job that is restored from a checkpoint. */
  public FlussSplitEnumerator(
      SplitEnumeratorContext<FlussSplit> context,
      SplitPlanner planner,
      @Nullable EnumeratorState checkpoint) {
    this(context, planner, checkpoint, 0);
  }

  /**
   * @param checkpoint null for a new job
   * @param discoveryIntervalMs how often new partitions are looked for, 0 for never
   */
  public FlussSplitEnumerator(
      SplitEnumeratorContext<FlussSplit> context,
      SplitPlanner planner,
      @Nullable EnumeratorState checkpoint,
      long discoveryIntervalMs) {
    this.context = context;
    this.planner = planner;
    this.discoveryIntervalMs = discoveryIntervalMs;
    if (checkpoint != null) {
      planned = checkpoint.isPlanned();
      partitions.addAll(checkpoint.partitions());
      addUnassigned(checkpoint.unassigned());
    }
  }

  @Override
  public void start() {
    if (!planned) {
      context.callAsync(planner::plan, this::handlePlanned);
    } else {
      discover(0);
    }
  }

  private void discover(long delayMs) {
    if (discoveryIntervalMs > 0) {
      context.callAsync(
          () -> planner.planNew(new HashSet<>(partitions)),
          this::handleDiscovered,
          delayMs,
          discoveryIntervalMs);
    }
  }

  private void handleDiscovered(List<FlussSplit> splits, @Nullable Throwable failure) {
    if (failure != null) {
      LOG.warn("Looking for new partitions failed; it is tried again.", failure);
      return;
    }
    // Two checks may overlap: the later one may bring what the earlier one has brought.
    List<FlussSplit> added = new ArrayList<>();
    for (FlussSplit split : splits) {
      if (!partitions.contains(split.bucket().partition().id())) {
        added.add(split);
      }
    }
    if (!added.isEmpty()) {
      LOG.info("Found {} splits of new partitions: {}", added.size(), added);
      addUnassigned(added);
      assign(context.registeredReaders().keySet());
    }
  }

  private void handlePlanned(List<FlussSplit> splits, @Nullable Throwable failure) {
    if (failure != null) {
      throw new FlinkRuntimeException("Listing the buckets to read failed.", failure);
    }
    LOG.info("Planned {} splits: {}", splits.size(), splits);
    planned = true;
    addUnassigned(splits);
    assign(context.registeredReaders().keySet());
    discover(discoveryIntervalMs);
  }

  @Override
  public void addReader(int subtaskId) {
    readersWithAll.remove(subtaskId);
    assign(Collections.singleton(subtaskId));
  }

  @Override
  public void addSplitsBack(List<FlussSplit> splits, int subtaskId) {
    LOG.info("Reader {} gave back {}", subtaskId, splits);
    readersWithAll.remove(subtaskId);
    addUnassigned(splits);
    assign(context.registeredReaders().keySet());
  }

  private void addUnassigned(List<FlussSplit> splits) {
    for (FlussSplit split : splits) {
      unassigned.put(split.splitId(), split);
      if (split.bucket().partition() != null) {
        partitions.add(split.bucket().partition().id());
      }
    }
  }

  private void assign(Set<Integer> readers) {
    if (!planned) {
      return;
    }
    Map<Integer, List<FlussSplit>> assignment = new HashMap<>();
    for (FlussSplit split : unassigned.values()) {
      int owner = owner(split.bucket());
      if (readers.contains(owner) && context.registeredReaders().containsKey(owner)) {
        assignment.computeIfAbsent(owner, ignored -> new ArrayList<>()).add(split);
      }
    }
    if (!assignment.isEmpty()) {
      context.assignSplits(new SplitsAssignment<>(assignment));
      assignment.values().forEach(list -> list.forEach(s -> unassigned.remove(s.splitId())));
    }
    for (int reader : readers) {
      if (discoveryIntervalMs > 0) {
        // There may always be more.
        if (context.registeredReaders().containsKey(reader) && !assignment.containsKey(reader)) {
          context.sendEventToSourceReader(reader, new NothingToRead());
        }
      } else if (context.registeredReaders().containsKey(reader) && readersWithAll.add(reader)) {
        context.signalNoMoreSplits(reader);
      }
    }
  }

  private int owner(TableBucket bucket) {
    long first = bucket.partition() == null ? 0 : bucket.partition().id();
    return (int) Math.floorMod(first + bucket.bucket(), (long) context.currentParallelism());
  }

  @Override
  public void handleSplitRequest(int subtaskId, @Nullable String requesterHostname) {
    // Splits are pushed: each belongs to one reader from the start.
  }

  @Override
  public EnumeratorState snapshotState(long checkpointId) {
    return new EnumeratorState(planned, unassigned.values(), partitions);
  }

  @Override
  public void close() {
    // Nothing is kept open between calls.
  }
}
