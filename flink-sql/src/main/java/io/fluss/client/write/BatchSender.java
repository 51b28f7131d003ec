package io.fluss.client.write;

import io.fluss.client.ApiKey;
import io.fluss.client.ClientOptions;
import io.fluss.client.ErrorCode;
import io.fluss.client.FlussException;
import io.fluss.client.TableInfo;
import io.fluss.client.rpc.CallFailedException;
import io.fluss.client.rpc.ClientContext;
import io.fluss.client.rpc.Cluster;
import io.fluss.client.rpc.Errors;
import io.fluss.client.rpc.Node;
import io.fluss.rpc.proto.InitWriterRequest;
import io.fluss.rpc.proto.InitWriterResponse;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Sends finished batches of one writer and sees to it that each is stored once and in order.
 *
 * <p>Driven by events: a new batch, a response, a timer. Per bucket at most {@code
 * max-inflight-requests-per-bucket} batches are on their way; ready batches of buckets with the
 * same leader share a request. A batch keeps its bytes and sequence number when it is sent again.
 * If a server no longer knows the sequence (error 31 twice for the oldest batch), the bucket goes
 * on with a new writer id. Thread-safe.
 */
final class BatchSender {
  private static final Logger LOG = LoggerFactory.getLogger(BatchSender.class);

  /** Bytes of a request besides the batches. */
  private static final int REQUEST_OVERHEAD_BYTES = 1024;

  private final ClientContext context;
  private final ClientOptions options;
  private final TableInfo table;
  private final BatchTarget target;
  private final boolean numbered;

  private final ReentrantLock lock = new ReentrantLock();
  private final Condition progress = lock.newCondition();

  // Guarded by the lock.
  private final Lane[] lanes;
  private final Set<Lane> ready = new LinkedHashSet<>();
  private boolean refreshing;
  private boolean draining;
  private boolean drainAgain;
  private boolean closed;
  private long bytesSent;

  private volatile FlussException failure;

  private final Runnable onClientClosed = this::onClientClosed;

  BatchSender(ClientContext context, TableInfo table, BatchTarget target) {
    this.context = context;
    this.options = context.options();
    this.table = table;
    this.target = target;
    this.numbered = options.idempotence();
    long writerId = numbered ? context.callTablet(true, this::initWriter) : -1;
    this.lanes = new Lane[table.bucketCount()];
    for (int bucket = 0; bucket < lanes.length; bucket++) {
      lanes[bucket] = new Lane(bucket, writerId);
    }
    context.onClose(onClientClosed);
  }

  private void onClientClosed() {
    lock.lock();
    try {
      fail(ClientContext.closedError());
    } finally {
      lock.unlock();
    }
  }

  /** Largest batch that a request can hold. */
  static int maxBatchBytes(ClientOptions options) {
    return Math.max(1, options.maxRequestSize() - REQUEST_OVERHEAD_BYTES);
  }

  private CompletableFuture<Long> initWriter(Node node) {
    InitWriterRequest request =
        InitWriterRequest.newBuilder().addTablePath(Cluster.toProto(table.path())).build();
    return context
        .network()
        .call(node, ApiKey.INIT_WRITER, request, InitWriterResponse.parser())
        .thenApply(InitWriterResponse::getWriterId);
  }

  /** The error that ended the writer, or null. */
  FlussException failure() {
    return failure;
  }

  long bytesSent() {
    lock.lock();
    try {
      return bytesSent;
    } finally {
      lock.unlock();
    }
  }

  /** Takes over a finished batch, whose memory is already accounted for. */
  void enqueue(int bucket, byte[] bytes) {
    lock.lock();
    try {
      if (closed || failure != null) {
        context.writerMemory().add(-bytes.length);
        return;
      }
      lanes[bucket].enqueue(bytes);
      ready.add(lanes[bucket]);
      drain();
    } finally {
      lock.unlock();
    }
  }

  /** Waits until everything enqueued so far is acknowledged or the writer has failed. */
  void awaitAcknowledged() throws InterruptedException {
    lock.lock();
    try {
      long[] ends = new long[lanes.length];
      for (int i = 0; i < lanes.length; i++) {
        ends[i] = lanes[i].nextIndex;
      }
      for (int i = 0; i < lanes.length; i++) {
        while (failure == null && !closed && lanes[i].hasOutstandingBelow(ends[i])) {
          progress.await();
        }
      }
    } finally {
      lock.unlock();
    }
  }

  void close() {
    context.removeOnClose(onClientClosed);
    lock.lock();
    try {
      closed = true;
      dropAll();
      progress.signalAll();
    } finally {
      lock.unlock();
    }
  }

  private void dropAll() {
    for (Lane lane : lanes) {
      lane.inFlight.forEach(batch -> context.writerMemory().add(-batch.bytes.length));
      lane.queue.forEach(batch -> context.writerMemory().add(-batch.bytes.length));
      lane.inFlight.clear();
      lane.queue.clear();
    }
    ready.clear();
  }

  private void fail(FlussException error) {
    if (failure == null && !closed) {
      failure = error;
      dropAll();
      progress.signalAll();
    }
  }

  private void drainLater(long delayMillis) {
    context.schedule(
        delayMillis,
        () -> {
          lock.lock();
          try {
            drain();
          } finally {
            lock.unlock();
          }
        });
  }

  /**
   * Sends whatever may be sent. When a response comes so fast that its handler runs in here, the
   * handler's own call only requests another round: a batch must not overtake one that is marked as
   * in flight but not yet sent.
   */
  private void drain() {
    drainAgain = true;
    if (draining) {
      return;
    }
    draining = true;
    try {
      while (drainAgain && failure == null && !closed) {
        drainAgain = false;
        Map<Node, List<PendingBatch>> requests = takeReady();
        if (!requests.isEmpty()) {
          drainAgain = true;
          requests.forEach(this::sendInRequests);
        }
      }
    } finally {
      draining = false;
    }
  }

  /** At most one batch of every bucket that may send, by leader. */
  private Map<Node, List<PendingBatch>> takeReady() {
    long now = System.nanoTime();
    Map<Node, List<PendingBatch>> requests = new HashMap<>();
    for (Lane lane : new ArrayList<>(ready)) {
      if (!lane.maySend(options.maxInflightPerBucket(), now)) {
        continue;
      }
      Node leader;
      try {
        leader = context.cluster().leader(table, lane.bucket);
      } catch (FlussException e) {
        fail(e);
        return Collections.emptyMap();
      }
      if (leader == null) {
        postpone(lane, ClientContext.noLeader(table, lane.bucket));
        continue;
      }
      PendingBatch batch = lane.queue.poll();
      if (lane.queue.isEmpty()) {
        ready.remove(lane);
      }
      lane.inFlight.add(batch);
      stamp(lane, batch);
      requests.computeIfAbsent(leader, node -> new ArrayList<>()).add(batch);
    }
    return requests;
  }

  private void stamp(Lane lane, PendingBatch batch) {
    batch.attempts++;
    if (!batch.stamped) {
      batch.sequence = numbered ? lane.takeSequence() : -1;
      target.stamp(batch.bytes, lane.writerId, batch.sequence);
      batch.stamped = true;
    }
  }

  private void sendInRequests(Node leader, List<PendingBatch> batches) {
    List<PendingBatch> request = new ArrayList<>();
    long size = 0;
    for (PendingBatch batch : batches) {
      if (!request.isEmpty() && size + batch.bytes.length > maxBatchBytes(options)) {
        send(leader, request);
        request = new ArrayList<>();
        size = 0;
      }
      request.add(batch);
      size += batch.bytes.length;
    }
    send(leader, request);
  }

  private void send(Node leader, List<PendingBatch> batches) {
    for (PendingBatch batch : batches) {
      bytesSent += batch.bytes.length;
    }
    target
        .send(context.network(), leader, batches, options.acks(), options.requestTimeout())
        .whenComplete((results, error) -> onResponse(batches, results, error));
  }

  /** Runs on the network thread, or in the sending thread when the response was fast. */
  private void onResponse(
      List<PendingBatch> batches, Map<Integer, Optional<FlussException>> results, Throwable error) {
    lock.lock();
    try {
      if (closed || failure != null) {
        return;
      }
      FlussException callError = error == null ? null : Errors.unwrap(error);
      for (PendingBatch batch : batches) {
        FlussException batchError = callError;
        if (callError == null) {
          Optional<FlussException> result = results.get(batch.bucket);
          batchError =
              result == null
                  ? new FlussException(ErrorCode.NETWORK_EXCEPTION, "the server left out a bucket")
                  : result.orElse(null);
        }
        settle(lanes[batch.bucket], batch, batchError);
      }
      drain();
      progress.signalAll();
    } finally {
      lock.unlock();
    }
  }

  private void settle(Lane lane, PendingBatch batch, FlussException error) {
    if (error == null || error.code() == ErrorCode.DUPLICATE_SEQUENCE_EXCEPTION) {
      lane.inFlight.remove(batch);
      lane.backoff.reset();
      lane.failingSinceNanos = 0;
      context.writerMemory().add(-batch.bytes.length);
    } else {
      batch.error = error;
      lane.recovering = true;
      if (!error.retriable() && !lostSequence(error)) {
        fail(error);
        return;
      }
    }
    if (lane.recovering && lane.allSettled()) {
      recover(lane);
    }
  }

  private static boolean lostSequence(FlussException error) {
    return error.code() == ErrorCode.OUT_OF_ORDER_SEQUENCE_EXCEPTION
        || error.code() == ErrorCode.UNKNOWN_WRITER_ID_EXCEPTION;
  }

  /** All batches of the lane have settled, some with errors: prepares these for another try. */
  private void recover(Lane lane) {
    if (lane.inFlight.isEmpty()) {
      lane.recovering = false;
      return;
    }
    PendingBatch oldest = lane.inFlight.get(0);
    FlussException error = oldest.error;
    if (oldest.attempts > options.writerRetries()) {
      fail(error);
      return;
    }
    // Batches behind a failed one are refused with 31 too, so only that of the oldest says
    // something. Even that may
    // come from an earlier attempt that overtook another one, hence the second try with the same
    // sequence.
    boolean newWriterId = lostSequence(error) && oldest.attempts > 1;
    lane.requeue();
    ready.add(lane);
    postpone(lane, error);
    if (newWriterId && failure == null) {
      renewWriterId(lane, error);
    }
  }

  /**
   * Notes that the lane could not be written and tries again later, or fails after the retry
   * time-out.
   */
  private void postpone(Lane lane, FlussException error) {
    long now = System.nanoTime();
    if (lane.failingSinceNanos == 0) {
      lane.failingSinceNanos = now;
    }
    if (now - lane.failingSinceNanos > options.retryTimeout().toNanos()) {
      fail(error);
      return;
    }
    LOG.debug("Writing bucket {} of {} failed", lane.bucket, table.path(), error);
    long delayMillis = lane.backoff.nextMillis();
    lane.retryAtNanos = now + TimeUnit.MILLISECONDS.toNanos(delayMillis);
    drainLater(delayMillis + 1);
    if (error.code().staleMetadata() || error instanceof CallFailedException) {
      refreshMetadata();
    }
  }

  private void refreshMetadata() {
    if (refreshing) {
      return;
    }
    refreshing = true;
    context
        .cluster()
        .refresh(table)
        .whenComplete(
            (nothing, error) -> {
              lock.lock();
              try {
                refreshing = false;
                if (error != null && !Errors.unwrap(error).retriable()) {
                  fail(Errors.unwrap(error));
                }
              } finally {
                lock.unlock();
              }
            });
  }

  private void renewWriterId(Lane lane, FlussException reason) {
    LOG.warn(
        "Bucket {} of {} goes on with a new writer id, since the server lost track of the old one",
        lane.bucket,
        table.path(),
        reason);
    lane.resetting = true;
    Node node = context.cluster().anyTablet();
    CompletableFuture<Long> id =
        node == null
            ? CompletableFuture.failedFuture(ClientContext.noLeader(table, lane.bucket))
            : initWriter(node);
    id.whenComplete(
        (writerId, error) -> {
          lock.lock();
          try {
            lane.resetting = false;
            if (error != null) {
              // The next try with the old id fails the same way and leads here again.
              postpone(lane, Errors.unwrap(error));
              return;
            }
            lane.writerId = writerId;
            lane.nextSequence = 0;
            for (PendingBatch batch : lane.queue) {
              batch.stamped = false;
            }
            drain();
          } finally {
            lock.unlock();
          }
        });
  }
}
