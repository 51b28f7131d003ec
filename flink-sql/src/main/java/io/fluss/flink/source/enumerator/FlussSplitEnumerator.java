package io.fluss.flink.source.enumerator;

import io.fluss.flink.source.split.FlussSplit;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
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
 *   <li>Readers register with {@link #addReader}, before or after the splits are there. The splits
 *       of bucket {@code b} belong to reader {@code b % parallelism}, which gets them as soon as
 *       both are there; nobody has to ask.
 *   <li>A reader that has its share of the planned splits is told that there will be no more. A
 *       bounded reader ends when it has read them; one without splits ends at once and holds back
 *       no watermark.
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

  private boolean planned;
  private final Map<String, FlussSplit> unassigned = new LinkedHashMap<>();
  private final Set<Integer> readersWithAll = new HashSet<>();

  /** The enumerator of a new job. */
  public FlussSplitEnumerator(SplitEnumeratorContext<FlussSplit> context, SplitPlanner planner) {
    this(context, planner, null);
  }

  /** The enumerator of a job that is restored from a checkpoint. */
  public FlussSplitEnumerator(
      SplitEnumeratorContext<FlussSplit> context,
      SplitPlanner planner,
      @Nullable EnumeratorState checkpoint) {
    this.context = context;
    this.planner = planner;
    if (checkpoint != null) {
      planned = checkpoint.isPlanned();
      addUnassigned(checkpoint.unassigned());
    }
  }

  @Override
  public void start() {
    if (!planned) {
      context.callAsync(planner::plan, this::handlePlanned);
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
    }
  }

  private void assign(Set<Integer> readers) {
    if (!planned) {
      return;
    }
    Map<Integer, List<FlussSplit>> assignment = new HashMap<>();
    for (FlussSplit split : unassigned.values()) {
      int owner = split.bucket() % context.currentParallelism();
      if (readers.contains(owner) && context.registeredReaders().containsKey(owner)) {
        assignment.computeIfAbsent(owner, ignored -> new ArrayList<>()).add(split);
      }
    }
    if (!assignment.isEmpty()) {
      context.assignSplits(new SplitsAssignment<>(assignment));
      assignment.values().forEach(list -> list.forEach(s -> unassigned.remove(s.splitId())));
    }
    for (int reader : readers) {
      if (context.registeredReaders().containsKey(reader) && readersWithAll.add(reader)) {
        context.signalNoMoreSplits(reader);
      }
    }
  }

  @Override
  public void handleSplitRequest(int subtaskId, @Nullable String requesterHostname) {
    // Splits are pushed: each belongs to one reader from the start.
  }

  @Override
  public EnumeratorState snapshotState(long checkpointId) {
    return new EnumeratorState(planned, unassigned.values());
  }

  @Override
  public void close() {
    // Nothing is kept open between calls.
  }
}
