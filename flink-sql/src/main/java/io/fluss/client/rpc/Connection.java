package io.fluss.client.rpc;

import com.google.protobuf.ByteString;
import io.fluss.client.ApiKey;
import io.fluss.client.Credentials;
import io.fluss.client.ErrorCode;
import io.fluss.client.FlussException;
import io.fluss.rpc.proto.ApiVersionsRequest;
import io.fluss.rpc.proto.ApiVersionsResponse;
import io.fluss.rpc.proto.AuthenticateRequest;
import io.fluss.rpc.proto.AuthenticateResponse;
import io.fluss.rpc.proto.ErrorResponse;
import io.fluss.rpc.proto.PbApiVersion;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BiConsumer;
import javax.annotation.Nullable;

/**
 * One connection to a server. Everything here runs on the network thread.
 *
 * <p>Life: resolving the name, connecting, requesting the API versions, authenticating if the
 * client has credentials, ready, closed. Calls that come before it is ready wait in order. A call
 * that gets no response in time closes the connection: what the server does with the requests after
 * it can then no longer be told, and a new connection starts clean.
 */
final class Connection {
  /** Larger responses are taken for a broken stream. */
  private static final int MAX_FRAME_BYTES = 1 << 30;

  /** Reads per readiness event, so that one connection does not starve the others. */
  private static final int MAX_READS = 16;

  private static final int WRITE_CHUNK_BYTES = 128 * 1024;

  private static final byte SUCCESS = 0;
  private static final byte ERROR = 1;
  private static final byte SERVER_FAILURE = 2;

  private final Node node;
  @Nullable private final Credentials credentials;
  private final BiConsumer<Connection, String> onClosed;
  private final long connectDeadlineNanos;
  private final ArrayDeque<Call> waiting = new ArrayDeque<>();
  private final Map<Integer, Call> inFlight = new HashMap<>();
  private final ArrayDeque<ByteBuffer> output = new ArrayDeque<>();
  private final Map<Short, short[]> versions = new HashMap<>();

  private SocketChannel channel;
  private SelectionKey key;
  private boolean ready;
  private boolean closed;
  private boolean everReady;
  private int nextRequestId;

  private int lengthBytes;
  private int length;
  private byte[] frame;
  private int filled;

  Connection(
      Node node,
      long connectTimeoutNanos,
      @Nullable Credentials credentials,
      BiConsumer<Connection, String> onClosed) {
    this.node = node;
    this.credentials = credentials;
    this.onClosed = onClosed;
    this.connectDeadlineNanos = System.nanoTime() + connectTimeoutNanos;
  }

  Node node() {
    return node;
  }

  /** Whether the handshake succeeded at any time. */
  boolean everReady() {
    return everReady;
  }

  boolean hasDeadline() {
    return !closed && (!ready || !inFlight.isEmpty());
  }

  /** Starts to connect, once the name is resolved. */
  void connect(InetSocketAddress address, Selector selector) {
    if (closed) {
      return;
    }
    try {
      if (address.isUnresolved()) {
        throw new IOException("unknown host");
      }
      channel = SocketChannel.open();
      channel.configureBlocking(false);
      channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
      channel.setOption(StandardSocketOptions.SO_KEEPALIVE, true);
      key = channel.register(selector, SelectionKey.OP_CONNECT, this);
      if (channel.connect(address)) {
        onConnected();
      }
    } catch (IOException | RuntimeException e) {
      close(ErrorCode.NETWORK_EXCEPTION, "cannot connect to " + node + ": " + describe(e), e);
    }
  }

  /** Acts on what the selector found. */
  void onSelected(ByteBuffer readBuffer) {
    try {
      if (!key.isValid()) {
        return;
      }
      int operations = key.readyOps();
      if ((operations & SelectionKey.OP_CONNECT) != 0 && channel.finishConnect()) {
        onConnected();
      }
      if ((operations & SelectionKey.OP_READ) != 0) {
        read(readBuffer);
      }
      if (!closed && (operations & SelectionKey.OP_WRITE) != 0) {
        flush();
      }
    } catch (IOException e) {
      String what = everReady ? "connection to " : "cannot connect to ";
      close(ErrorCode.NETWORK_EXCEPTION, what + node + ": " + describe(e), e);
    } catch (RuntimeException e) {
      close(ErrorCode.CORRUPT_MESSAGE, "bad response of " + node + ": " + e.getMessage(), e);
    }
  }

  private static String describe(Exception e) {
    return e.getMessage() == null ? e.getClass().getSimpleName() : e.getMessage();
  }

  private void onConnected() throws IOException {
    key.interestOps(SelectionKey.OP_READ);
    ApiVersionsRequest request =
        ApiVersionsRequest.newBuilder()
            .setClientSoftwareName("fluss-flink")
            .setClientSoftwareVersion("0.1.0")
            .build();
    Call handshake =
        new Call(
            node,
            ApiKey.API_VERSIONS,
            request,
            ApiVersionsResponse.parser(),
            Math.max(0, connectDeadlineNanos - System.nanoTime()));
    handshake.response.whenComplete(
        (response, error) -> {
          if (error == null) {
            onVersions((ApiVersionsResponse) response);
          } else if (!closed) {
            close(
                ErrorCode.NETWORK_EXCEPTION,
                "handshake with " + node + " failed: " + error.getMessage(),
                error);
          }
        });
    handshake.deadlineNanos = connectDeadlineNanos;
    start(handshake, (short) 0);
  }

  private void onVersions(ApiVersionsResponse response) {
    for (PbApiVersion version : response.getApiVersionsList()) {
      versions.put(
          (short) version.getApiKey(),
          new short[] {(short) version.getMinVersion(), (short) version.getMaxVersion()});
    }
    if (credentials == null) {
      onReady();
    } else {
      authenticate(credentials);
    }
  }

  private void authenticate(Credentials credentials) {
    AuthenticateRequest request =
        AuthenticateRequest.newBuilder()
            .setProtocol(Credentials.MECHANISM)
            .setToken(ByteString.copyFrom(credentials.token()))
            .build();
    Call call =
        new Call(
            node,
            ApiKey.AUTHENTICATE,
            request,
            AuthenticateResponse.parser(),
            Math.max(0, connectDeadlineNanos - System.nanoTime()));
    call.response.whenComplete(
        (response, error) -> {
          if (error == null) {
            onReady(); // with PLAIN a challenge in the response means nothing
          } else if (!closed) {
            FlussException refusal = Errors.unwrap(error);
            // What the server calls retriable is tried again, like a connection that broke.
            boolean again = refusal.code() == ErrorCode.RETRIABLE_AUTHENTICATE_EXCEPTION;
            close(
                again ? ErrorCode.NETWORK_EXCEPTION : refusal.code(),
                "the server "
                    + node
                    + " refuses the credentials of "
                    + credentials
                    + ": "
                    + refusal.detail(),
                error);
          }
        });
    call.deadlineNanos = connectDeadlineNanos;
    try {
      start(call, (short) 0);
    } catch (IOException e) {
      close(ErrorCode.NETWORK_EXCEPTION, "connection to " + node + ": " + describe(e), e);
    }
  }

  private void onReady() {
    ready = true;
    everReady = true;
    while (!waiting.isEmpty() && !closed) {
      submit(waiting.poll());
    }
  }

  /** Sends the call, or keeps it until the connection is ready. */
  void submit(Call call) {
    if (closed) {
      fail(call, ErrorCode.NETWORK_EXCEPTION, "no connection to " + node, false, null);
      return;
    }
    if (!ready) {
      waiting.add(call);
      return;
    }
    if (call.key == ApiKey.API_VERSIONS) {
      call.response.complete(versionsMessage());
      return;
    }
    short[] range = versions.get(call.key.key());
    short version = range == null ? -1 : (short) Math.min(range[1], call.key.maxVersion());
    if (range == null || version < range[0]) {
      call.response.completeExceptionally(
          new FlussException(
              ErrorCode.UNSUPPORTED_VERSION,
              "the server " + node + " does not support " + call.key));
      return;
    }
    try {
      start(call, version);
    } catch (IOException e) {
      close(ErrorCode.NETWORK_EXCEPTION, "connection to " + node + ": " + describe(e), e);
    }
  }

  private ApiVersionsResponse versionsMessage() {
    ApiVersionsResponse.Builder builder = ApiVersionsResponse.newBuilder();
    versions.forEach(
        (apiKey, range) ->
            builder.addApiVersions(
                PbApiVersion.newBuilder()
                    .setApiKey(apiKey)
                    .setMinVersion(range[0])
                    .setMaxVersion(range[1])));
    return builder.build();
  }

  private void start(Call call, short version) throws IOException {
    int requestId = nextRequestId;
    nextRequestId = nextRequestId + 1 & Integer.MAX_VALUE;
    inFlight.put(requestId, call);
    output.add(call.frame(version, requestId));
    if (output.size() == 1) {
      flush();
    }
  }

  private void flush() throws IOException {
    while (!output.isEmpty()) {
      ByteBuffer buffer = output.peek();
      while (buffer.hasRemaining()) {
        // In pieces: the JDK copies the bytes of one call to a direct buffer of their size.
        int limit = buffer.limit();
        buffer.limit(Math.min(limit, buffer.position() + WRITE_CHUNK_BYTES));
        int written = channel.write(buffer);
        buffer.limit(limit);
        if (written == 0) {
          key.interestOps(SelectionKey.OP_READ | SelectionKey.OP_WRITE);
          return;
        }
      }
      output.poll();
    }
    key.interestOps(SelectionKey.OP_READ);
  }

  private void read(ByteBuffer buffer) throws IOException {
    for (int i = 0; i < MAX_READS && !closed; i++) {
      buffer.clear();
      int count = channel.read(buffer);
      if (count < 0) {
        close(ErrorCode.NETWORK_EXCEPTION, "the server " + node + " closed the connection", null);
        return;
      }
      buffer.flip();
      consume(buffer);
      if (count < buffer.capacity()) {
        return;
      }
    }
  }

  private void consume(ByteBuffer buffer) throws IOException {
    while (buffer.hasRemaining() && !closed) {
      if (frame == null) {
        while (lengthBytes < 4 && buffer.hasRemaining()) {
          length = length << 8 | buffer.get() & 0xFF;
          lengthBytes++;
        }
        if (lengthBytes < 4) {
          return;
        }
        if (length < 1 || length > MAX_FRAME_BYTES) {
          throw new IOException("the server announced a response of " + length + " bytes");
        }
        frame = new byte[length];
        filled = 0;
      }
      int count = Math.min(buffer.remaining(), frame.length - filled);
      buffer.get(frame, filled, count);
      filled += count;
      if (filled == frame.length) {
        byte[] complete = frame;
        frame = null;
        length = 0;
        lengthBytes = 0;
        onFrame(complete);
      }
    }
  }

  private void onFrame(byte[] response) throws IOException {
    byte type = response[0];
    if (type == SERVER_FAILURE) {
      ErrorResponse error =
          ErrorResponse.parseFrom(ByteBuffer.wrap(response, 1, response.length - 1).slice());
      close(
          ErrorCode.NETWORK_EXCEPTION,
          "the server " + node + " gave up the connection: " + error.getErrorMessage(),
          null);
      return;
    }
    if (response.length < 5 || type != SUCCESS && type != ERROR) {
      throw new IOException("the server sent something that is no response");
    }
    Call call = inFlight.remove(ByteBuffer.wrap(response).getInt(1));
    if (call == null) {
      return;
    }
    if (type == ERROR) {
      ErrorResponse error =
          ErrorResponse.parseFrom(ByteBuffer.wrap(response, 5, response.length - 5).slice());
      call.response.completeExceptionally(
          Errors.toException(error.getErrorCode(), error.getErrorMessage()));
      return;
    }
    try {
      call.response.complete(call.parse(response, 5));
    } catch (IOException e) {
      call.response.completeExceptionally(
          new FlussException(
              ErrorCode.CORRUPT_MESSAGE,
              "the response of " + node + " to " + call.key + " cannot be read: " + e.getMessage(),
              e));
    }
  }

  /** Closes the connection when a response or the connection itself is overdue. */
  void checkDeadlines(long nowNanos) {
    if (!ready && nowNanos - connectDeadlineNanos > 0) {
      close(ErrorCode.NETWORK_EXCEPTION, "no connection to " + node + " in time", null);
      return;
    }
    for (Call call : inFlight.values()) {
      if (nowNanos - call.deadlineNanos > 0) {
        close(
            ErrorCode.REQUEST_TIME_OUT,
            "no response of "
                + node
                + " to "
                + call.key
                + " within "
                + call.timeoutNanos / 1_000_000
                + " ms",
            null);
        return;
      }
    }
  }

  void close(ErrorCode code, String message, Throwable cause) {
    if (closed) {
      return;
    }
    closed = true;
    ready = false;
    if (channel != null) {
      try {
        channel.close();
      } catch (IOException ignored) {
        // Nothing can be done about it, and nothing depends on it.
      }
    }
    onClosed.accept(this, message);
    List<Call> sent = new ArrayList<>(inFlight.values());
    List<Call> unsent = new ArrayList<>(waiting);
    inFlight.clear();
    waiting.clear();
    output.clear();
    sent.forEach(call -> fail(call, code, message, true, cause));
    unsent.forEach(call -> fail(call, code, message, false, cause));
  }

  private static void fail(
      Call call, ErrorCode code, String message, boolean requestSent, Throwable cause) {
    call.response.completeExceptionally(new CallFailedException(code, message, requestSent, cause));
  }
}
