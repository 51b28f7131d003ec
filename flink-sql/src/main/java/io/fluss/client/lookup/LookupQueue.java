package io.fluss.client.lookup;

import io.fluss.client.ClientOptions;
import io.fluss.client.ErrorCode;
import io.fluss.client.FlussException;
import io.fluss.client.TableBucket;
import io.fluss.client.TableInfo;
import io.fluss.client.rpc.Backoff;
import io.fluss.client.rpc.CallFailedException;
import io.fluss.client.rpc.ClientContext;
import io.fluss.client.rpc.Errors;
import io.fluss.client.rpc.Node;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;

/**
 * Lookups of one kind on one table, gathered into requests per server.
 *
 * <p>A key that finds no request to its server under way is sent at once. While one is under way
 * keys gather, and are sent together when its response comes or when they fill a request; so load
 * makes requests large and nothing ever waits for a clock. Failed keys are repeated after a pause,
 * for at most {@code client.retry-timeout}. Thread-safe.
 *
 * @param <V> result of one key
 */
abstract class LookupQueue<V> {
  private final ClientContext context;
  private final ClientOptions options;
  private final Semaphore permits;

  // Guarded by this.
  private final Map<Node, Lane<V>> lanes = new HashMap<>();
  private final Set<Pending<V>> retrying = new LinkedHashSet<>();
  private boolean closed;

  private final Runnable onClientClosed = this::close;

  /** Keys for one server. */
  private static final class Lane<V> {
    private final ArrayDeque<Pending<V>> keys = new ArrayDeque<>();
    private int inFlight;
  }

  /** One key on its way. */
  static final class Pending<V> {
    final byte[] key;
    final TableInfo place;
    final TableBucket bucket;
    final CompletableFuture<V> result = new CompletableFuture<>();
    private final long startNanos = System.nanoTime();
    private int attempts;
    private Backoff backoff;

    Pending(TableInfo place, byte[] key, int bucket) {
      this.place = place;
      this.key = key;
      this.bucket = new TableBucket(place.partition(), bucket);
    }
  }

  /** Keys of one bucket in a request, and what became of them. */
  static final class Group<V> {
    final TableBucket bucket;
    final List<Pending<V>> keys = new ArrayList<>();

    /** Set by the response: one result per key, or an error of them all. */
    List<V> results;

    FlussException error;

    Group(TableBucket bucket) {
      this.bucket = bucket;
    }
  }

  LookupQueue(ClientContext context) {
    this.context = context;
    this.options = context.options();
    this.permits = new Semaphore(options.lookupQueueSize());
    context.onClose(onClientClosed);
  }

  /**
   * Sends one request with the keys of all groups; when its future completes normally each group
   * has results or an error.
   */
  abstract CompletableFuture<Void> send(Node leader, Map<TableBucket, Group<V>> groups);

  /**
   * Adds a key; waits for a free place unless called on the network thread.
   *
   * @param place the table, or one partition of it
   */
  final CompletableFuture<V> add(TableInfo place, byte[] key, int bucket) {
    Pending<V> pending = new Pending<>(place, key, bucket);
    if (takePermit()) {
      pending.result.whenComplete((value, error) -> permits.release());
    }
    dispatch(pending);
    return pending.result;
  }

  /**
   * The network thread frees the places, so it must not wait for one: its lookups are not counted
   * when it is full.
   */
  private boolean takePermit() {
    if (permits.tryAcquire()) {
      return true;
    }
    if (context.network().onNetworkThread()) {
      return false;
    }
    try {
      permits.acquire();
      return true;
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new FlussException(ErrorCode.NETWORK_EXCEPTION, "interrupted while waiting", e);
    }
  }

  private void dispatch(Pending<V> pending) {
    Node leader;
    try {
      leader = context.cluster().leader(pending.place, pending.bucket.bucket());
    } catch (FlussException e) {
      pending.result.completeExceptionally(e);
      return;
    }
    if (leader == null) {
      retry(pending, ClientContext.noLeader(pending.place, pending.bucket.bucket()));
      return;
    }
    Lane<V> lane = null;
    List<Map<TableBucket, Group<V>>> requests = Collections.emptyList();
    synchronized (this) {
      if (!closed) {
        lane = lanes.computeIfAbsent(leader, node -> new Lane<>());
        lane.keys.add(pending);
        requests = takeReady(lane);
      }
    }
    if (lane == null) {
      pending.result.completeExceptionally(closedError());
    } else {
      sendAll(leader, lane, requests);
    }
  }

  private static FlussException closedError() {
    return new FlussException(ErrorCode.NETWORK_EXCEPTION, "the lookup was closed");
  }

  /**
   * Requests that may be sent by the rule in the class comment; each counts as in flight from now
   * on.
   */
  private List<Map<TableBucket, Group<V>>> takeReady(Lane<V> lane) {
    List<Map<TableBucket, Group<V>>> requests = new ArrayList<>(1);
    while (!lane.keys.isEmpty()
        && (lane.inFlight == 0
            || lane.keys.size() >= options.lookupBatchSize()
                && lane.inFlight < options.lookupMaxInflight())) {
      Map<TableBucket, Group<V>> groups = new HashMap<>();
      for (int i = 0; i < options.lookupBatchSize() && !lane.keys.isEmpty(); i++) {
        Pending<V> pending = lane.keys.poll();
        pending.attempts++;
        groups.computeIfAbsent(pending.bucket, Group::new).keys.add(pending);
      }
      lane.inFlight++;
      requests.add(groups);
    }
    return requests;
  }

  /**
   * Sends outside of the lock, since a fast response is handled, and its receivers are called, in
   * this thread.
   */
  private void sendAll(Node leader, Lane<V> lane, List<Map<TableBucket, Group<V>>> requests) {
    for (Map<TableBucket, Group<V>> groups : requests) {
      send(leader, groups)
          .whenComplete((nothing, error) -> onResponse(leader, lane, groups, error));
    }
  }

  /** Runs on the network thread, or in the sending thread when the response was fast. */
  private void onResponse(
      Node leader, Lane<V> lane, Map<TableBucket, Group<V>> groups, Throwable error) {
    List<Map<TableBucket, Group<V>>> requests;
    synchronized (this) {
      lane.inFlight--;
      requests = takeReady(lane);
    }
    // Before the results are handed out: their receivers may take long.
    sendAll(leader, lane, requests);
    FlussException callError = error == null ? null : Errors.unwrap(error);
    for (Group<V> group : groups.values()) {
      FlussException groupError = callError != null ? callError : group.error;
      if (groupError == null && group.results == null) {
        groupError =
            new FlussException(ErrorCode.NETWORK_EXCEPTION, "the server left out a bucket");
      }
      for (int i = 0; i < group.keys.size(); i++) {
        if (groupError == null) {
          group.keys.get(i).result.complete(group.results.get(i));
        } else {
          retry(group.keys.get(i), groupError);
        }
      }
    }
  }

  private void retry(Pending<V> pending, FlussException error) {
    long elapsed = System.nanoTime() - pending.startNanos;
    if (!error.retriable()
        || pending.attempts > options.lookupRetries()
        || elapsed > options.retryTimeout().toNanos()) {
      pending.result.completeExceptionally(error);
      return;
    }
    if (pending.backoff == null) {
      pending.backoff = Backoff.standard();
    }
    boolean wasClosed;
    synchronized (this) {
      wasClosed = closed;
      if (!closed) {
        retrying.add(pending);
      }
    }
    if (wasClosed) {
      pending.result.completeExceptionally(closedError());
      return;
    }
    long delayMillis = pending.backoff.nextMillis();
    if (error.code().staleMetadata() || error instanceof CallFailedException) {
      context
          .cluster()
          .refresh(pending.place)
          .whenComplete(
              (nothing, refreshError) -> {
                if (refreshError != null && !Errors.unwrap(refreshError).retriable()) {
                  forget(pending);
                  pending.result.completeExceptionally(Errors.unwrap(refreshError));
                } else {
                  context.schedule(delayMillis, () -> dispatchAgain(pending));
                }
              });
    } else {
      context.schedule(delayMillis, () -> dispatchAgain(pending));
    }
  }

  private void dispatchAgain(Pending<V> pending) {
    if (forget(pending)) {
      dispatch(pending);
    }
  }

  /**
   * Takes the key off the list of those that wait for another try; false when it was not there any
   * more.
   */
  private synchronized boolean forget(Pending<V> pending) {
    return retrying.remove(pending);
  }

  /** Fails everything that waits. */
  final void close() {
    context.removeOnClose(onClientClosed);
    List<Pending<V>> dropped = new ArrayList<>();
    synchronized (this) {
      closed = true;
      lanes.values().forEach(lane -> dropped.addAll(lane.keys));
      lanes.values().forEach(lane -> lane.keys.clear());
      dropped.addAll(retrying);
      retrying.clear();
    }
    dropped.forEach(pending -> pending.result.completeExceptionally(closedError()));
  }
}
