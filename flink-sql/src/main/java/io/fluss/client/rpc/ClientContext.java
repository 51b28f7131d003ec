package io.fluss.client.rpc;

import io.fluss.client.ApiKey;
import io.fluss.client.ClientOptions;
import io.fluss.client.ErrorCode;
import io.fluss.client.FlussException;
import io.fluss.client.TableInfo;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Collectors;

/**
 * What the parts of one client share: options, network, metadata, timers and the memory of the
 * writers.
 */
public final class ClientContext implements AutoCloseable {
  private static final AtomicInteger COUNTER = new AtomicInteger();

  private final ClientOptions options;
  private final ScheduledThreadPoolExecutor timer;
  private final NetworkClient network;
  private final Cluster cluster;
  private final SchemaCache schemas;
  private final MemoryBudget writerMemory;
  private final Set<Runnable> closeActions = ConcurrentHashMap.newKeySet();
  private volatile boolean closed;

  public ClientContext(ClientOptions options) {
    this.options = options;
    String name =
        "fluss-client-"
            + COUNTER.incrementAndGet()
            + (options.clientId().isEmpty() ? "" : "-" + options.clientId());
    timer =
        new ScheduledThreadPoolExecutor(
            1,
            task -> {
              Thread thread = new Thread(task, name + "-timer");
              thread.setDaemon(true);
              return thread;
            });
    timer.setRemoveOnCancelPolicy(true);
    timer.setExecuteExistingDelayedTasksAfterShutdownPolicy(false);
    network =
        new NetworkClient(
            name + "-network",
            options.connectTimeout(),
            options.requestTimeout(),
            options.credentials(),
            timer);
    cluster =
        new Cluster(
            network,
            options.bootstrapServers().stream().map(Node::parse).collect(Collectors.toList()));
    schemas = new SchemaCache(this);
    writerMemory = new MemoryBudget(options.writerMemorySize());
  }

  public ClientOptions options() {
    return options;
  }

  public NetworkClient network() {
    return network;
  }

  public Cluster cluster() {
    return cluster;
  }

  public SchemaCache schemas() {
    return schemas;
  }

  public MemoryBudget writerMemory() {
    return writerMemory;
  }

  /**
   * Has {@code action} run when the client is closed, so that nothing waits for it indefinitely.
   */
  public void onClose(Runnable action) {
    closeActions.add(action);
    if (closed) {
      action.run();
    }
  }

  public void removeOnClose(Runnable action) {
    closeActions.remove(action);
  }

  public static FlussException closedError() {
    return new FlussException(ErrorCode.NETWORK_EXCEPTION, "the client is closed");
  }

  /** Runs something small on the timer thread later; nothing happens after {@link #close()}. */
  public void schedule(long delayMillis, Runnable task) {
    if (!timer.isShutdown()) {
      try {
        timer.schedule(task, delayMillis, TimeUnit.MILLISECONDS);
      } catch (RejectedExecutionException closed) {
        // The client was closed in between: the pending calls have failed already.
      }
    }
  }

  /** Learns the servers of the cluster from the bootstrap servers, within the connect time-out. */
  public void bootstrap() {
    long deadlineNanos = System.nanoTime() + options.connectTimeout().toNanos();
    Backoff backoff = Backoff.standard();
    while (true) {
      try {
        await(cluster.refresh(null));
        if (cluster.anyTablet() != null) {
          return;
        }
        if (System.nanoTime() - deadlineNanos > 0) {
          throw new FlussException(
              ErrorCode.NETWORK_EXCEPTION,
              "the cluster at "
                  + String.join(",", options.bootstrapServers())
                  + " has no tablet server");
        }
      } catch (FlussException e) {
        if (!e.retriable() || System.nanoTime() - deadlineNanos > 0) {
          throw new FlussException(
              e.code(),
              "cannot connect to the cluster at "
                  + String.join(",", options.bootstrapServers())
                  + ": "
                  + e.detail(),
              e);
        }
      }
      pause(backoff.nextMillis());
    }
  }

  /** Waits for a response; the error of a failed call is thrown as {@link FlussException}. */
  public <T> T await(CompletableFuture<T> future) {
    requireMayBlock();
    try {
      return future.get();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new FlussException(ErrorCode.NETWORK_EXCEPTION, "interrupted while waiting", e);
    } catch (ExecutionException e) {
      FlussException cause = Errors.unwrap(e);
      // A new exception: the stack of the network thread would not help anybody.
      throw new FlussException(cause.code(), cause.detail(), cause);
    }
  }

  private void requireMayBlock() {
    if (network.onNetworkThread()) {
      throw new IllegalStateException(
          "a blocking method of the client was called in a callback on its network thread");
    }
  }

  /**
   * Carries out an operation, again on retriable errors, for at most {@code client.retry-timeout}.
   *
   * @param repeatable whether it may be carried out twice; if not, it is not tried again once a
   *     server may have received it
   * @param refresh run (and waited for) before another try when the metadata is stale
   */
  public <T> T retry(
      boolean repeatable,
      Supplier<CompletableFuture<T>> attempt,
      Supplier<CompletableFuture<Void>> refresh) {
    requireMayBlock();
    long deadlineNanos = System.nanoTime() + options.retryTimeout().toNanos();
    Backoff backoff = Backoff.standard();
    while (true) {
      if (closed) {
        throw closedError();
      }
      try {
        return await(attempt.get());
      } catch (FlussException e) {
        Throwable cause = e.getCause() == null ? e : e.getCause();
        boolean sent =
            cause instanceof CallFailedException && ((CallFailedException) cause).requestSent();
        if (!e.retriable()
            || sent && !repeatable
            || System.nanoTime() - deadlineNanos > 0
            || Thread.currentThread().isInterrupted()) {
          throw e;
        }
        pause(backoff.nextMillis());
        if (e.code().staleMetadata() || cause instanceof CallFailedException) {
          try {
            await(refresh.get());
          } catch (FlussException refreshError) {
            if (!refreshError.retriable()) {
              throw refreshError;
            }
          }
        }
      }
    }
  }

  private static void pause(long millis) {
    try {
      Thread.sleep(millis);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new FlussException(ErrorCode.NETWORK_EXCEPTION, "interrupted while waiting", e);
    }
  }

  /** {@link #retry} of a call to the leader of a bucket. */
  public <T> T callLeader(
      TableInfo table, int bucket, boolean repeatable, Function<Node, CompletableFuture<T>> call) {
    return retry(
        repeatable,
        () -> {
          Node leader = cluster.leader(table, bucket);
          return leader == null
              ? CompletableFuture.failedFuture(noLeader(table, bucket))
              : call.apply(leader);
        },
        () -> cluster.refresh(table));
  }

  public static FlussException noLeader(TableInfo table, int bucket) {
    return new FlussException(
        ErrorCode.LEADER_NOT_AVAILABLE_EXCEPTION,
        "bucket " + bucket + " of " + table + " has no known leader");
  }

  /**
   * {@link #retry} of a read-only call that every server can carry out. A server that cannot be
   * reached, or is not able to, is followed by the next one at once, so such calls need no
   * particular server.
   */
  public <T> T callAny(Function<Node, CompletableFuture<T>> call) {
    return retry(true, () -> callFirst(cluster.candidates(), 0, call), () -> cluster.refresh(null));
  }

  private static <T> CompletableFuture<T> callFirst(
      List<Node> nodes, int index, Function<Node, CompletableFuture<T>> call) {
    CompletableFuture<T> result = call.apply(nodes.get(index));
    return index + 1 == nodes.size()
        ? result
        : result
            .handle(
                (response, error) -> {
                  if (error == null) {
                    return CompletableFuture.completedFuture(response);
                  }
                  FlussException cause = Errors.unwrap(error);
                  return cause instanceof CallFailedException
                          || cause.code().staleMetadata()
                          || cause.code() == ErrorCode.UNSUPPORTED_VERSION
                      ? callFirst(nodes, index + 1, call)
                      : CompletableFuture.<T>failedFuture(cause);
                })
            .thenCompose(next -> next);
  }

  /** {@link #retry} of a call to the coordinator. */
  public <T> T callCoordinator(boolean repeatable, Function<Node, CompletableFuture<T>> call) {
    return retry(
        repeatable, () -> callNode(cluster.coordinator(), call), () -> cluster.refresh(null));
  }

  /** {@link #retry} of a call to any tablet server. */
  public <T> T callTablet(boolean repeatable, Function<Node, CompletableFuture<T>> call) {
    return retry(
        repeatable, () -> callNode(cluster.anyTablet(), call), () -> cluster.refresh(null));
  }

  private static <T> CompletableFuture<T> callNode(
      Node node, Function<Node, CompletableFuture<T>> call) {
    return node == null
        ? CompletableFuture.failedFuture(
            new CallFailedException(
                ErrorCode.NETWORK_EXCEPTION,
                "no coordinator or no tablet server is known",
                false,
                null))
        : call.apply(node);
  }

  /** Whether the servers that handle this call support it. */
  public boolean supports(ApiKey key, boolean onTablet) {
    Function<Node, CompletableFuture<Boolean>> call =
        node ->
            network
                .versions(node)
                .thenApply(
                    response ->
                        response.getApiVersionsList().stream()
                            .anyMatch(version -> version.getApiKey() == key.key()));
    return onTablet ? callTablet(true, call) : callCoordinator(true, call);
  }

  @Override
  public void close() {
    closed = true;
    network.close();
    timer.shutdownNow();
    writerMemory.close();
    closeActions.forEach(Runnable::run);
    closeActions.clear();
  }
}
