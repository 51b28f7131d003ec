package io.fluss.client.rpc;

import com.google.protobuf.ByteString;
import com.google.protobuf.CodedInputStream;
import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.MessageLite;
import com.google.protobuf.Parser;
import com.google.protobuf.UnsafeByteOperations;
import io.fluss.client.ApiKey;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.concurrent.CompletableFuture;

/**
 * One request on its way: the frame, whose header the network thread fills in, and the future of
 * the response.
 */
final class Call {
  /** Length, API key, API version and request id. */
  private static final int HEADER_SIZE = 12;

  final Node node;
  final ApiKey key;
  final long timeoutNanos;
  final CompletableFuture<MessageLite> response = new CompletableFuture<>();
  private final Parser<? extends MessageLite> parser;
  private final byte[] frame;

  /**
   * When the call fails, on the clock of {@link System#nanoTime()}; set when it reaches the network
   * thread.
   */
  long deadlineNanos;

  Call(
      Node node,
      ApiKey key,
      MessageLite request,
      Parser<? extends MessageLite> parser,
      long timeoutNanos) {
    this.node = node;
    this.key = key;
    this.parser = parser;
    this.timeoutNanos = timeoutNanos;
    int size = request.getSerializedSize();
    this.frame = new byte[HEADER_SIZE + size];
    CodedOutputStream out = CodedOutputStream.newInstance(frame, HEADER_SIZE, size);
    try {
      request.writeTo(out);
      out.checkNoSpaceLeft();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  ByteBuffer frame(short version, int requestId) {
    ByteBuffer buffer = ByteBuffer.wrap(frame);
    buffer.putInt(0, frame.length - 4);
    buffer.putShort(4, key.key());
    buffer.putShort(6, version);
    buffer.putInt(8, requestId);
    return buffer;
  }

  /** Parses a response; byte fields of the message refer to {@code data}. */
  MessageLite parse(byte[] data, int offset) throws IOException {
    ByteString body = UnsafeByteOperations.unsafeWrap(data, offset, data.length - offset);
    CodedInputStream in = body.newCodedInput();
    in.enableAliasing(true);
    return parser.parseFrom(in);
  }
}
