package io.fluss.flink.source.enumerator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.fluss.client.PartitionInfo;
import io.fluss.client.TableBucket;
import io.fluss.flink.source.NothingToRead;
import io.fluss.flink.source.split.FlussSplit;
import io.fluss.flink.source.split.LogSplit;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.function.BiConsumer;
import java.util.stream.Collectors;
import org.apache.flink.api.connector.source.ReaderInfo;
import org.apache.flink.api.connector.source.SourceEvent;
import org.apache.flink.api.connector.source.SplitEnumeratorContext;
import org.apache.flink.api.connector.source.SplitsAssignment;
import org.apache.flink.metrics.groups.SplitEnumeratorMetricGroup;
import org.apache.flink.metrics.groups.UnregisteredMetricsGroup;
import org.apache.flink.util.FlinkRuntimeException;
import org.junit.jupiter.api.Test;

class FlussSplitEnumeratorTest {

  private final FakeContext context = new FakeContext(2);

  private static LogSplit split(int bucket) {
    return new LogSplit(1, bucket, LogSplit.EARLIEST, LogSplit.NO_STOP);
  }

  private FlussSplitEnumerator newEnumerator() {
    return new FlussSplitEnumerator(context, () -> Arrays.asList(split(0), split(1), split(2)));
  }

  @Test
  void readersThatWereThereFirstGetTheirBuckets() {
    FlussSplitEnumerator enumerator = newEnumerator();
    enumerator.start();
    context.register(0, enumerator);
    context.register(1, enumerator);
    assertTrue(context.assigned.isEmpty());
    assertTrue(context.noMoreSplits.isEmpty());

    context.runAsync();

    assertEquals(Arrays.asList(0, 2), context.bucketsOf(0));
    assertEquals(Arrays.asList(1), context.bucketsOf(1));
    assertEquals(Arrays.asList(0, 1), context.noMoreSplits);
  }

  @Test
  void aReaderThatComesLaterGetsItsBuckets() {
    FlussSplitEnumerator enumerator = newEnumerator();
    enumerator.start();
    context.runAsync();
    assertEquals(3, enumerator.snapshotState(1).unassigned().size());

    context.register(1, enumerator);

    assertEquals(Arrays.asList(1), context.bucketsOf(1));
    assertEquals(Arrays.asList(1), context.noMoreSplits);
    assertEquals(Arrays.asList(split(0), split(2)), enumerator.snapshotState(2).unassigned());
  }

  @Test
  void splitsOfAFailedReaderAreGivenOutAgain() {
    FlussSplitEnumerator enumerator = newEnumerator();
    enumerator.start();
    context.runAsync();
    context.register(0, enumerator);
    context.register(1, enumerator);

    context.unregister(0);
    enumerator.addSplitsBack(Arrays.asList(split(0), split(2)), 0);
    assertEquals(2, enumerator.snapshotState(3).unassigned().size());
    context.assigned.clear();
    context.noMoreSplits.clear();
    context.register(0, enumerator);

    assertEquals(Arrays.asList(0, 2), context.bucketsOf(0));
    assertEquals(Arrays.asList(0), context.noMoreSplits);
  }

  @Test
  void aRestoredEnumeratorDoesNotPlanAgain() {
    FlussSplitEnumerator enumerator =
        new FlussSplitEnumerator(
            context,
            () -> {
              throw new AssertionError("planned again");
            },
            new EnumeratorState(true, Arrays.asList(split(1))));
    enumerator.start();
    context.runAsync();
    context.register(0, enumerator);
    context.register(1, enumerator);

    assertEquals(Arrays.asList(), context.bucketsOf(0));
    assertEquals(Arrays.asList(1), context.bucketsOf(1));
    assertEquals(Arrays.asList(0, 1), context.noMoreSplits);
  }

  @Test
  void anEnumeratorRestoredBeforePlanningPlans() {
    FlussSplitEnumerator enumerator =
        new FlussSplitEnumerator(
            context, () -> Arrays.asList(split(0)), new EnumeratorState(false, Arrays.asList()));
    enumerator.start();
    context.register(0, enumerator);
    context.runAsync();

    assertEquals(Arrays.asList(0), context.bucketsOf(0));
  }

  @Test
  void aFailedPlanFailsTheJob() {
    FlussSplitEnumerator enumerator =
        new FlussSplitEnumerator(
            context,
            () -> {
              throw new IllegalStateException("no server");
            });
    enumerator.start();

    assertThrows(FlinkRuntimeException.class, context::runAsync);
  }

  private static LogSplit split(long partition, int bucket) {
    return new LogSplit(
        1,
        new TableBucket(new PartitionInfo(partition, "p" + partition), bucket),
        LogSplit.EARLIEST,
        LogSplit.NO_STOP);
  }

  /** Partitions 0 and 1 with two buckets each, and those that are added to {@code later}. */
  private static SplitPlanner partitions(List<Long> later) {
    return new SplitPlanner() {
      @Override
      public List<FlussSplit> plan() {
        return Arrays.asList(split(0L, 0), split(0L, 1), split(1L, 0), split(1L, 1));
      }

      @Override
      public List<FlussSplit> planNew(Set<Long> known) {
        List<FlussSplit> splits = new ArrayList<>();
        for (long partition : later) {
          if (partition < 0) {
            throw new IllegalStateException("no server");
          }
          if (!known.contains(partition)) {
            splits.add(split(partition, 0));
          }
        }
        return splits;
      }
    };
  }

  @Test
  void newPartitionsJoinTheScan() {
    List<Long> later = new ArrayList<>();
    FlussSplitEnumerator enumerator =
        new FlussSplitEnumerator(context, partitions(later), null, 100);
    enumerator.start();
    context.runAsync();
    context.register(0, enumerator);
    context.register(1, enumerator);
    assertEquals(
        Arrays.asList(split(0L, 0), split(1L, 1)), context.assigned.get(0), "spread over readers");
    assertEquals(Arrays.asList(split(0L, 1), split(1L, 0)), context.assigned.get(1));
    assertEquals(Arrays.asList(), context.noMoreSplits, "there may always be more");

    context.assigned.clear();
    later.add(-1L);
    context.periodic.run();
    context.runAsync();
    assertTrue(context.assigned.isEmpty(), "a failed look is no failure of the job");
    later.set(0, 5L);
    context.periodic.run();
    context.periodic.run();
    context.runAsync();
    assertEquals(Map.of(1, Arrays.asList(split(5L, 0))), context.assigned, "and only once");
    assertEquals(Set.of(0L, 1L, 5L), enumerator.snapshotState(1).partitions());
  }

  @Test
  void readersWithoutSplitsAreToldSo() {
    FlussSplitEnumerator enumerator =
        new FlussSplitEnumerator(context, () -> Arrays.asList(split(0L, 0)), null, 100);
    enumerator.start();
    context.register(0, enumerator);
    assertEquals(Arrays.asList(), context.nothingToRead, "not before the splits are planned");

    context.runAsync();
    context.register(1, enumerator);

    assertEquals(Arrays.asList(split(0L, 0)), context.assigned.get(0));
    assertEquals(Arrays.asList(1), context.nothingToRead);
    assertEquals(Arrays.asList(), context.noMoreSplits);
  }

  @Test
  void aRestoredEnumeratorLooksForPartitionsAtOnce() {
    FlussSplitEnumerator enumerator =
        new FlussSplitEnumerator(
            context,
            partitions(Arrays.asList(0L, 3L)),
            new EnumeratorState(true, Arrays.asList(), Arrays.asList(0L, 1L)),
            100);
    enumerator.start();
    context.register(0, enumerator);
    context.register(1, enumerator);
    context.periodic.run();
    context.runAsync();

    assertEquals(Map.of(1, Arrays.asList(split(3L, 0))), context.assigned);
  }

  /** A coordinator that runs what is asynchronous when the test says so. */
  private static final class FakeContext implements SplitEnumeratorContext<FlussSplit> {
    final Map<Integer, List<FlussSplit>> assigned = new HashMap<>();
    final List<Integer> noMoreSplits = new ArrayList<>();
    final List<Integer> nothingToRead = new ArrayList<>();
    private final Map<Integer, ReaderInfo> readers = new HashMap<>();
    private final List<Runnable> pending = new ArrayList<>();
    private final int parallelism;
    Runnable periodic;

    FakeContext(int parallelism) {
      this.parallelism = parallelism;
    }

    void register(int reader, FlussSplitEnumerator enumerator) {
      readers.put(reader, new ReaderInfo(reader, "localhost"));
      enumerator.addReader(reader);
    }

    void unregister(int reader) {
      readers.remove(reader);
    }

    void runAsync() {
      List<Runnable> due = new ArrayList<>(pending);
      pending.clear();
      due.forEach(Runnable::run);
    }

    List<Integer> bucketsOf(int reader) {
      return assigned.getOrDefault(reader, new ArrayList<>()).stream()
          .map(split -> split.bucket().bucket())
          .collect(Collectors.toList());
    }

    @Override
    public SplitEnumeratorMetricGroup metricGroup() {
      return UnregisteredMetricsGroup.createSplitEnumeratorMetricGroup();
    }

    @Override
    public void sendEventToSourceReader(int subtaskId, SourceEvent event) {
      assertTrue(event instanceof NothingToRead);
      nothingToRead.add(subtaskId);
    }

    @Override
    public int currentParallelism() {
      return parallelism;
    }

    @Override
    public Map<Integer, ReaderInfo> registeredReaders() {
      return readers;
    }

    @Override
    public void assignSplits(SplitsAssignment<FlussSplit> assignment) {
      assignment
          .assignment()
          .forEach(
              (reader, splits) ->
                  assigned.computeIfAbsent(reader, r -> new ArrayList<>()).addAll(splits));
    }

    @Override
    public void signalNoMoreSplits(int subtask) {
      noMoreSplits.add(subtask);
    }

    @Override
    public <T> void callAsync(Callable<T> callable, BiConsumer<T, Throwable> handler) {
      pending.add(
          () -> {
            T result;
            try {
              result = callable.call();
            } catch (Exception e) {
              handler.accept(null, e);
              return;
            }
            handler.accept(result, null);
          });
    }

    @Override
    public <T> void callAsync(
        Callable<T> callable, BiConsumer<T, Throwable> handler, long initialDelay, long period) {
      periodic = () -> callAsync(callable, handler);
    }

    @Override
    public void runInCoordinatorThread(Runnable runnable) {
      runnable.run();
    }
  }
}
