package io.fluss.client.rpc;

import com.google.protobuf.MessageLite;
import com.google.protobuf.Parser;
import io.fluss.client.ApiKey;
import io.fluss.client.Credentials;
import io.fluss.client.ErrorCode;
import io.fluss.rpc.proto.ApiVersionsRequest;
import io.fluss.rpc.proto.ApiVersionsResponse;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Selector;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import javax.annotation.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Calls to servers over one connection each, all served by one thread.
 *
 * <p>Calls to one node are sent in the order in which they were made. Futures complete on the
 * network thread. A call always completes: with its response, or with an error when the connection
 * breaks or the request time-out passes. After a failed attempt to connect, further calls to the
 * node fail at once for a short, growing time.
 */
public final class NetworkClient implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(NetworkClient.class);
  private static final int READ_BUFFER_BYTES = 256 * 1024;
  private static final long DEADLINE_CHECK_MS = 100;
  private static final long CLOSE_WAIT_MS = 5_000;

  private final Duration connectTimeout;
  private final Duration requestTimeout;
  @Nullable private final Credentials credentials;
  private final Executor resolver;
  private final Selector selector;
  private final Thread thread;
  private final ConcurrentLinkedQueue<Runnable> tasks = new ConcurrentLinkedQueue<>();
  private final AtomicBoolean wakeupPending = new AtomicBoolean();
  private volatile boolean closed;

  // The rest belongs to the network thread.
  private final Map<Node, Connection> connections = new HashMap<>();
  private final Map<Node, Unreachable> unreachable = new HashMap<>();

  /** A node that could not be connected to. */
  private static final class Unreachable {
    private final Backoff backoff = new Backoff(50, 2_000);
    private long retryAtNanos;
    private String reason;
  }

  /**
   * @param credentials sent on every new connection, null for servers without authentication
   * @param resolver runs name resolution, which may block
   */
  public NetworkClient(
      String name,
      Duration connectTimeout,
      Duration requestTimeout,
      @Nullable Credentials credentials,
      Executor resolver) {
    this.connectTimeout = connectTimeout;
    this.requestTimeout = requestTimeout;
    this.credentials = credentials;
    this.resolver = resolver;
    try {
      this.selector = Selector.open();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    this.thread = new Thread(this::run, name);
    this.thread.setDaemon(true);
    this.thread.start();
  }

  /** Sends a request. */
  public <R extends MessageLite> CompletableFuture<R> call(
      Node node, ApiKey key, MessageLite request, Parser<R> parser) {
    return call(node, key, request, parser, Duration.ZERO);
  }

  /**
   * Sends a request that the server may hold back.
   *
   * @param serverTime how long the server may take on purpose; added to the request time-out
   */
  @SuppressWarnings("unchecked")
  public <R extends MessageLite> CompletableFuture<R> call(
      Node node, ApiKey key, MessageLite request, Parser<R> parser, Duration serverTime) {
    Call call = new Call(node, key, request, parser, requestTimeout.plus(serverTime).toNanos());
    execute(() -> submit(call));
    return (CompletableFuture<R>) call.response;
  }

  /** The APIs that the server supports. */
  public CompletableFuture<ApiVersionsResponse> versions(Node node) {
    ApiVersionsRequest request =
        ApiVersionsRequest.newBuilder()
            .setClientSoftwareName("")
            .setClientSoftwareVersion("")
            .build();
    return call(node, ApiKey.API_VERSIONS, request, ApiVersionsResponse.parser());
  }

  /** Whether the caller is the network thread, which must not wait for responses. */
  public boolean onNetworkThread() {
    return Thread.currentThread() == thread;
  }

  private void execute(Runnable task) {
    tasks.add(task);
    if (closed) {
      // Nobody else runs it any more; calls fail, since the client is closed.
      runTasks();
    } else if (!onNetworkThread() && wakeupPending.compareAndSet(false, true)) {
      selector.wakeup();
    }
  }

  private void submit(Call call) {
    if (closed) {
      call.response.completeExceptionally(
          new CallFailedException(
              ErrorCode.NETWORK_EXCEPTION, "the client is closed", false, null));
      return;
    }
    call.deadlineNanos = System.nanoTime() + call.timeoutNanos;
    Connection connection = connections.get(call.node);
    if (connection == null) {
      Unreachable state = unreachable.get(call.node);
      if (state != null && System.nanoTime() - state.retryAtNanos < 0) {
        call.response.completeExceptionally(
            new CallFailedException(ErrorCode.NETWORK_EXCEPTION, state.reason, false, null));
        return;
      }
      connection = open(call.node);
    }
    connection.submit(call);
  }

  private Connection open(Node node) {
    Connection connection =
        new Connection(node, connectTimeout.toNanos(), credentials, this::onConnectionClosed);
    connections.put(node, connection);
    try {
      resolver.execute(
          () -> {
            InetSocketAddress address = new InetSocketAddress(node.host(), node.port());
            execute(() -> connection.connect(address, selector));
          });
    } catch (RejectedExecutionException e) {
      connection.close(ErrorCode.NETWORK_EXCEPTION, "the client is closed", e);
    }
    return connection;
  }

  private void onConnectionClosed(Connection connection, String reason) {
    connections.remove(connection.node(), connection);
    if (connection.everReady()) {
      unreachable.remove(connection.node());
    } else {
      Unreachable state = unreachable.computeIfAbsent(connection.node(), node -> new Unreachable());
      state.reason = reason;
      state.retryAtNanos =
          System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(state.backoff.nextMillis());
    }
  }

  private void run() {
    ByteBuffer readBuffer = ByteBuffer.allocateDirect(READ_BUFFER_BYTES);
    long nextCheckNanos = System.nanoTime();
    try {
      while (!closed) {
        runTasks();
        if (!tasks.isEmpty()) {
          selector.selectNow();
        } else {
          selector.select(hasDeadlines() ? DEADLINE_CHECK_MS : 0);
        }
        wakeupPending.set(false);
        selector
            .selectedKeys()
            .forEach(key -> ((Connection) key.attachment()).onSelected(readBuffer));
        selector.selectedKeys().clear();
        long now = System.nanoTime();
        if (now - nextCheckNanos > 0) {
          nextCheckNanos = now + TimeUnit.MILLISECONDS.toNanos(DEADLINE_CHECK_MS);
          new ArrayList<>(connections.values())
              .forEach(connection -> connection.checkDeadlines(now));
        }
      }
    } catch (IOException | RuntimeException | Error e) {
      LOG.error("The network thread of a Fluss client failed", e);
    } finally {
      closed = true;
      new ArrayList<>(connections.values())
          .forEach(
              connection ->
                  connection.close(ErrorCode.NETWORK_EXCEPTION, "the client is closed", null));
      runTasks();
      try {
        selector.close();
      } catch (IOException e) {
        LOG.debug("Closing a selector failed", e);
      }
    }
  }

  private boolean hasDeadlines() {
    for (Connection connection : connections.values()) {
      if (connection.hasDeadline()) {
        return true;
      }
    }
    return false;
  }

  private void runTasks() {
    for (Runnable task = tasks.poll(); task != null; task = tasks.poll()) {
      task.run();
    }
  }

  @Override
  public void close() {
    closed = true;
    selector.wakeup();
    if (!onNetworkThread()) {
      try {
        thread.join(CLOSE_WAIT_MS);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
    }
  }
}
