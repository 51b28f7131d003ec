package io.fluss.client.scan;

import io.fluss.client.ApiKey;
import io.fluss.client.BucketRecords;
import io.fluss.client.ClientOptions;
import io.fluss.client.ErrorCode;
import io.fluss.client.FlussException;
import io.fluss.client.LogScanner;
import io.fluss.client.ScanBatch;
import io.fluss.client.TableBucket;
import io.fluss.client.TableInfo;
import io.fluss.client.rpc.Backoff;
import io.fluss.client.rpc.CallFailedException;
import io.fluss.client.rpc.ClientContext;
import io.fluss.client.rpc.Errors;
import io.fluss.client.rpc.Node;
import io.fluss.client.rpc.RawBytes;
import io.fluss.rpc.proto.FetchLogRequest;
import io.fluss.rpc.proto.FetchLogResponse;
import io.fluss.rpc.proto.PbFetchLogReqForBucket;
import io.fluss.rpc.proto.PbFetchLogReqForTable;
import io.fluss.rpc.proto.PbFetchLogRespForBucket;
import io.fluss.rpc.proto.PbFetchLogRespForTable;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Log scanner on FETCH_LOG.
 *
 * <p>A bucket is either being fetched, or has one fetched response that waits to be polled, or
 * neither; the last kind is fetched next. Because a response leaves its place when {@link #poll}
 * starts on it, the following fetch runs while its records are read. Buckets of one server that are
 * due together share a request. A bucket that is due while another request to its server waits
 * there gets a request of its own, so that idle buckets never hold up busy ones.
 */
public final class FetchingLogScanner implements LogScanner {
  private static final Logger LOG = LoggerFactory.getLogger(FetchingLogScanner.class);

  private static final int MAX_REQUESTS_PER_NODE = 16;

  private final ClientContext context;
  private final ClientOptions options;
  private final TableInfo table;
  private final LogDecoder projecting;

  /**
   * For buckets whose batches the server cannot project, since they were written before a column
   * was added.
   */
  private final LogDecoder complete;

  private final ReentrantLock lock = new ReentrantLock();
  private final Condition arrived = lock.newCondition();

  // Guarded by the lock.
  private final Map<TableBucket, Subscription> subscriptions = new HashMap<>();
  private final Set<TableBucket> dropped = new HashSet<>();
  private final ArrayDeque<FetchedBatches> fetched = new ArrayDeque<>();
  private final Map<Node, Integer> requests = new HashMap<>();
  private FlussException failure;
  private boolean wakeup;
  private final Set<TableBucket> refreshing = new HashSet<>();
  private boolean closed;

  private final Runnable onClientClosed = this::onClientClosed;

  /** What poll is reading; belongs to the polling thread. */
  private FetchedBatches current;

  /** One bucket being read. */
  private static final class Subscription {
    private final TableBucket bucket;
    private final TableInfo place;
    private final Backoff backoff = Backoff.standard();
    private long nextOffset;
    private boolean inFlight;
    private boolean waiting;
    private LogDecoder decoder;

    /** 0 while all is well, else since when fetches have failed. */
    private long failingSinceNanos;

    /** Whether the last responses were empty because there is nothing left to read. */
    private boolean caughtUp;

    /** When the first and the last of these responses came. */
    private long caughtUpSinceNanos;

    private long caughtUpUntilNanos;

    private long retryAtNanos = System.nanoTime();

    Subscription(TableBucket bucket, TableInfo place, LogDecoder decoder, long offset) {
      this.bucket = bucket;
      this.place = place;
      this.decoder = decoder;
      this.nextOffset = offset;
    }

    boolean due(long nowNanos) {
      return !inFlight && !waiting && nowNanos - retryAtNanos >= 0;
    }

    void emptyResponse(long logStartOffset, long highWatermark) {
      if (Math.max(nextOffset, logStartOffset) < highWatermark) {
        caughtUp = false; // the response had no place for records that are there
        return;
      }
      caughtUpUntilNanos = System.nanoTime();
      if (!caughtUp) {
        caughtUp = true;
        caughtUpSinceNanos = caughtUpUntilNanos;
      }
    }
  }

  public FetchingLogScanner(ClientContext context, TableInfo table, int[] projectedFields) {
    this.context = context;
    this.options = context.options();
    this.table = table;
    this.projecting = new LogDecoder(context, table, projectedFields, true);
    this.complete = new LogDecoder(context, table, projectedFields, false);
    context.onClose(onClientClosed);
  }

  private void onClientClosed() {
    lock.lock();
    try {
      failure = ClientContext.closedError();
      arrived.signalAll();
    } finally {
      lock.unlock();
    }
  }

  @Override
  public void subscribe(TableBucket bucket, long offset) {
    if (bucket.bucket() < 0 || bucket.bucket() >= table.bucketCount()) {
      throw new IllegalArgumentException(
          table.path() + " has " + table.bucketCount() + " buckets, there is no " + bucket);
    }
    TableInfo place = bucket.placeIn(table);
    if (table.isPartitioned() != (place.partition() != null)) {
      throw new IllegalArgumentException(
          "bucket "
              + bucket
              + " does not match "
              + table.path()
              + ", which has "
              + (table.isPartitioned() ? "" : "no ")
              + "partitions");
    }
    if (offset < 0 && offset != EARLIEST_OFFSET) {
      throw new IllegalArgumentException("bad start offset " + offset);
    }
    lock.lock();
    try {
      checkOpen();
      drop(bucket);
      subscriptions.put(bucket, new Subscription(bucket, place, projecting, offset));
    } finally {
      lock.unlock();
    }
  }

  @Override
  public void unsubscribe(TableBucket bucket) {
    lock.lock();
    try {
      drop(bucket);
    } finally {
      lock.unlock();
    }
  }

  private void drop(TableBucket bucket) {
    subscriptions.remove(bucket);
    dropped.remove(bucket);
    fetched.removeIf(batches -> batches.bucket().equals(bucket));
    if (current != null && current.bucket().equals(bucket)) {
      current = null;
    }
  }

  /** What was fetched of a dropped partition is still read; nothing more comes. */
  private void partitionDropped(Subscription subscription) {
    LOG.info("{} of {} is read no more: its partition was dropped", subscription.bucket, table);
    if (subscriptions.remove(subscription.bucket, subscription)) {
      dropped.add(subscription.bucket);
    }
  }

  private void checkOpen() {
    if (closed) {
      throw new IllegalStateException("the scanner is closed");
    }
  }

  @Override
  public ScanBatch poll(Duration timeout) {
    long deadlineNanos = System.nanoTime() + timeout.toNanos();
    List<BucketRecords> records = new ArrayList<>();
    int remaining = options.maxPollRecords();
    while (remaining > 0) {
      if (current == null) {
        current = take(deadlineNanos, records.isEmpty());
        if (current == null) {
          break;
        }
      }
      // Outside of the lock: decoding takes long, and the network thread must not wait for it.
      BucketRecords run = current.next(remaining);
      if (run == null) {
        current = null;
      } else {
        records.add(run);
        remaining -= run.size();
      }
    }
    Set<TableBucket> gone = takeDropped();
    return records.isEmpty() && gone.isEmpty() ? ScanBatch.EMPTY : new ScanBatch(records, gone);
  }

  /** Dropped buckets of which everything fetched was read. */
  private Set<TableBucket> takeDropped() {
    lock.lock();
    try {
      Set<TableBucket> gone = new HashSet<>(dropped);
      fetched.forEach(batches -> gone.remove(batches.bucket()));
      if (current != null) {
        gone.remove(current.bucket());
      }
      dropped.removeAll(gone);
      return gone;
    } finally {
      lock.unlock();
    }
  }

  /**
   * The next fetched response, or null; waits for one until the time or a wakeup if {@code
   * mayWait}.
   */
  private FetchedBatches take(long deadlineNanos, boolean mayWait) {
    lock.lock();
    try {
      while (true) {
        checkOpen();
        FetchedBatches batches = fetched.poll();
        if (batches != null) {
          Subscription subscription = subscriptions.get(batches.bucket());
          if (subscription != null) {
            subscription.waiting = false;
          }
          fetchDue();
          return batches;
        }
        if (!mayWait || !dropped.isEmpty()) {
          return null;
        }
        if (failure != null) {
          throw new FlussException(
              failure.code(), "scan of " + table.path() + ": " + failure.detail(), failure);
        }
        fetchDue();
        long now = System.nanoTime();
        if (wakeup || now - deadlineNanos >= 0) {
          wakeup = false;
          return null;
        }
        // A response may have come while its request was being sent; its handler then ran in this
        // thread.
        if (failure == null && fetched.isEmpty()) {
          long untilRetry = nextRetryNanos(now) - now;
          arrived.awaitNanos(Math.max(1, Math.min(deadlineNanos - now, untilRetry)));
        }
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new FlussException(ErrorCode.NETWORK_EXCEPTION, "interrupted while polling", e);
    } finally {
      lock.unlock();
    }
  }

  /** The earliest time in the future at which a bucket may be fetched again. */
  private long nextRetryNanos(long now) {
    long earliest = now + TimeUnit.SECONDS.toNanos(1);
    for (Subscription subscription : subscriptions.values()) {
      if (!subscription.inFlight
          && !subscription.waiting
          && subscription.retryAtNanos - now > 0
          && subscription.retryAtNanos - earliest < 0) {
        earliest = subscription.retryAtNanos;
      }
    }
    return earliest;
  }

  /**
   * Sends fetches for all buckets that are due. May be entered again by the response to one of
   * them.
   */
  private void fetchDue() {
    if (closed || failure != null) {
      return;
    }
    long now = System.nanoTime();
    Map<LogDecoder, Map<Node, List<Subscription>>> due = new HashMap<>();
    for (Subscription subscription : new ArrayList<>(subscriptions.values())) {
      if (!subscription.due(now)) {
        continue;
      }
      Node leader;
      try {
        leader = context.cluster().leader(subscription.place, subscription.bucket.bucket());
      } catch (FlussException e) {
        if (e.code() == ErrorCode.PARTITION_NOT_EXISTS) {
          partitionDropped(subscription);
          continue;
        }
        failure = e;
        return;
      }
      if (leader == null) {
        onError(
            subscription, ClientContext.noLeader(subscription.place, subscription.bucket.bucket()));
      } else if (requests.getOrDefault(leader, 0) < MAX_REQUESTS_PER_NODE) {
        subscription.inFlight = true;
        due.computeIfAbsent(subscription.decoder, decoder -> new HashMap<>())
            .computeIfAbsent(leader, node -> new ArrayList<>())
            .add(subscription);
      }
    }
    due.forEach(
        (decoder, byLeader) ->
            byLeader.forEach((leader, buckets) -> fetch(leader, buckets, decoder)));
  }

  private void fetch(Node leader, List<Subscription> buckets, LogDecoder decoder) {
    PbFetchLogReqForTable.Builder tableRequest =
        PbFetchLogReqForTable.newBuilder().setTableId(table.tableId());
    int[] requested = decoder.requested();
    tableRequest.setProjectionPushdownEnabled(requested != null);
    if (requested != null) {
      Arrays.stream(requested).forEach(tableRequest::addProjectedFields);
    }
    for (Subscription subscription : buckets) {
      PbFetchLogReqForBucket.Builder bucket =
          PbFetchLogReqForBucket.newBuilder()
              .setBucketId(subscription.bucket.bucket())
              .setFetchOffset(subscription.nextOffset)
              .setMaxFetchBytes(options.fetchMaxBytesForBucket());
      if (subscription.place.partition() != null) {
        bucket.setPartitionId(subscription.place.partition().id());
      }
      tableRequest.addBucketsReq(bucket);
    }
    FetchLogRequest request =
        FetchLogRequest.newBuilder()
            .setFollowerServerId(-1)
            .setMaxBytes(options.fetchMaxBytes())
            .setMaxWaitMs((int) Math.min(Integer.MAX_VALUE, options.fetchMaxWait().toMillis()))
            .setMinBytes(options.fetchMinBytes())
            .addTablesReq(tableRequest)
            .build();
    requests.merge(leader, 1, Integer::sum);
    context
        .network()
        .call(leader, ApiKey.FETCH_LOG, request, FetchLogResponse.parser(), options.fetchMaxWait())
        .whenComplete((response, error) -> onResponse(leader, buckets, response, error));
  }

  /** Runs on the network thread, or in the sending thread when the response was fast. */
  private void onResponse(
      Node leader, List<Subscription> buckets, FetchLogResponse response, Throwable error) {
    lock.lock();
    try {
      requests.merge(leader, -1, Integer::sum);
      Map<TableBucket, Subscription> pending = new HashMap<>();
      for (Subscription subscription : buckets) {
        subscription.inFlight = false;
        if (subscriptions.get(subscription.bucket) == subscription) {
          pending.put(subscription.bucket, subscription);
        }
      }
      if (error == null) {
        for (PbFetchLogRespForTable tableResponse : response.getTablesRespList()) {
          for (PbFetchLogRespForBucket bucketResponse : tableResponse.getBucketsRespList()) {
            Subscription subscription =
                pending.remove(
                    TableBucket.ofResponse(
                        bucketResponse.hasPartitionId(),
                        bucketResponse.getPartitionId(),
                        bucketResponse.getBucketId()));
            if (subscription != null) {
              onBucket(subscription, bucketResponse);
            }
          }
        }
      }
      FlussException cause =
          error != null
              ? Errors.unwrap(error)
              : new FlussException(ErrorCode.NETWORK_EXCEPTION, "the server left out a bucket");
      pending.values().forEach(subscription -> onError(subscription, cause));
      fetchDue();
      arrived.signalAll();
    } catch (FlussException e) {
      failure = e;
      arrived.signalAll();
    } finally {
      lock.unlock();
    }
  }

  private void onBucket(Subscription subscription, PbFetchLogRespForBucket response) {
    if (response.getErrorCode() == ErrorCode.INVALID_COLUMN_PROJECTION.number()
        && subscription.decoder.requested() != null) {
      LOG.debug("Bucket {} of {} is read without projection", subscription.bucket, table.path());
      subscription.decoder = complete;
      return;
    }
    if (response.getErrorCode() != 0) {
      onError(
          subscription, Errors.toException(response.getErrorCode(), response.getErrorMessage()));
      return;
    }
    if (response.hasRemoteLogFetchInfo()) {
      throw new FlussException(
          ErrorCode.LOG_OFFSET_OUT_OF_RANGE_EXCEPTION,
          "offset "
              + subscription.nextOffset
              + " of bucket "
              + subscription.bucket
              + " is only in remote storage ("
              + response.getRemoteLogFetchInfo().getRemoteLogTabletDir()
              + "), which this client cannot read");
    }
    subscription.failingSinceNanos = 0;
    subscription.backoff.reset();
    RawBytes records = RawBytes.of(response.getRecords());
    if (records.length() == 0) {
      subscription.emptyResponse(response.getLogStartOffset(), response.getHighWatermark());
    } else {
      subscription.caughtUp = false;
      FetchedBatches batches =
          new FetchedBatches(
              subscription.bucket,
              records,
              subscription.decoder,
              subscription.nextOffset,
              response.getHighWatermark());
      subscription.nextOffset = batches.nextOffset();
      subscription.waiting = true;
      fetched.add(batches);
    }
  }

  private void onError(Subscription subscription, FlussException error) {
    boolean again =
        error.retriable()
            || error.code() == ErrorCode.UNKNOWN_SERVER_ERROR
            || error.code() == ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION;
    long now = System.nanoTime();
    subscription.caughtUp = false;
    if (subscription.failingSinceNanos == 0) {
      subscription.failingSinceNanos = now;
    }
    long failingNanos = now - subscription.failingSinceNanos;
    if (!again || failingNanos > options.retryTimeout().toNanos()) {
      failure = error;
      return;
    }
    LOG.debug("Fetch of bucket {} of {} failed", subscription.bucket, table.path(), error);
    subscription.retryAtNanos =
        now + TimeUnit.MILLISECONDS.toNanos(subscription.backoff.nextMillis());
    if (error.code().staleMetadata()
        || error.code() == ErrorCode.FENCED_LEADER_EPOCH_EXCEPTION
        || error instanceof CallFailedException) {
      refreshMetadata(subscription.place);
    }
  }

  private void refreshMetadata(TableInfo place) {
    TableBucket key = new TableBucket(place.partition(), 0);
    if (!refreshing.add(key)) {
      return;
    }
    context
        .cluster()
        .refresh(place)
        .whenComplete(
            (nothing, error) -> {
              lock.lock();
              try {
                refreshing.remove(key);
                if (error != null) {
                  onRefreshFailed(place, Errors.unwrap(error));
                }
                arrived.signalAll();
              } finally {
                lock.unlock();
              }
            });
  }

  private void onRefreshFailed(TableInfo place, FlussException error) {
    if (error.code() == ErrorCode.PARTITION_NOT_EXISTS && place.partition() != null) {
      long id = place.partition().id();
      for (Subscription subscription : new ArrayList<>(subscriptions.values())) {
        if (subscription.place.partition().id() == id) {
          partitionDropped(subscription);
        }
      }
    } else if (!error.retriable() && !closed) {
      failure = error;
    }
  }

  @Override
  public Set<TableBucket> caughtUpFor(Duration duration) {
    lock.lock();
    try {
      Set<TableBucket> result = new HashSet<>();
      for (Subscription subscription : subscriptions.values()) {
        if (subscription.caughtUp
            && subscription.caughtUpUntilNanos - subscription.caughtUpSinceNanos
                >= duration.toNanos()) {
          result.add(subscription.bucket);
        }
      }
      return result;
    } finally {
      lock.unlock();
    }
  }

  @Override
  public void wakeup() {
    lock.lock();
    try {
      wakeup = true;
      arrived.signalAll();
    } finally {
      lock.unlock();
    }
  }

  @Override
  public void close() {
    context.removeOnClose(onClientClosed);
    lock.lock();
    try {
      closed = true;
      subscriptions.clear();
      fetched.clear();
      arrived.signalAll();
    } finally {
      lock.unlock();
    }
  }
}
